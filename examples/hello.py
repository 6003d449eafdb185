"""Send one message and receive it, in one process and without a server."""

from kombu import Connection

with Connection("memory://") as connection:
    queue = connection.SimpleQueue("greetings")
    queue.put({"hello": "world"})
    message = queue.get(timeout=1)
    print(message.payload)
    message.ack()
    queue.close()
