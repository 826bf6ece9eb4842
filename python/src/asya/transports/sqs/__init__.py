"""Amazon SQS, by its JSON API.

`transport` is the face. `client` is the one module that knows the AWS library, `refusals` says in our words what AWS
answers, `places` how queues are called. `consumer` receives within the credit, `settling` ends or prolongs what is
held, `sending` sends; both gather their entries in `batches`. `body` turns bytes into what SQS takes and back,
`claims` keeps large bodies in S3, `order` makes the ids of FIFO queues, `control` declares and counts.
"""

from asya.transports.sqs.transport import SqsTransport

__all__ = ["SqsTransport"]
