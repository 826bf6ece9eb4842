"""The engine that speaks AMQP 0-9-1 by itself, on `asyncio.Protocol`.

`reader` cuts what comes into frames and messages, in place in one buffer; `writer` collects what goes out in a turn of
the loop. `connection` joins them and keeps the heartbeat, `handshake` opens it. `channel` asks and answers; on it stand
`confirms`, which publishes within a window, and `subscription`, which receives. `publisher` keeps what waits for the
window, through closed channels. `engine` is the face.

The frames of each message are written and read by hand. The rare ones are left to pamqp, a library of plain encoders
and decoders without any I/O.
"""

from asya.transports.rabbitmq.fast.engine import connect

__all__ = ["connect"]
