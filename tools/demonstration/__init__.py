"""What `make demo` does: run the examples as a user would, and show in one HTML page what happened.

Belongs here: starting `asya up`, sending work, reading back traces and replicas, drawing. Does not belong here:
anything a user's own mesh would need.
"""
