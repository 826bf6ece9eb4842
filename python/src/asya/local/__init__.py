"""`asya up`: the mesh on one machine, without Kubernetes.

Belongs here: the supervisor that runs each actor as sidecar and runtime processes, its autoscaler, the task store and
the loopback API. Does not belong here: anything that touches a message on its way (`asya_sidecar`), and the
command line.
"""
