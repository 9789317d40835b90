"""python-socketio's managers by the names that the scripts take, as they are but for what is said here. See README.md."""
import socketio


class Listening:
    """Calls `listening` once everything that is published from then on will be heard."""

    def __init__(self, *args, listening, **kwargs):
        self.listening = listening
        super().__init__(*args, **kwargs)


class Redis(Listening, socketio.AsyncRedisManager):
    def _redis_connect(self):
        super()._redis_connect()
        self.pubsub.ignore_subscribe_messages = False

    async def _redis_listen_with_retries(self):
        async for message in super()._redis_listen_with_retries():
            if message["type"] == "subscribe":
                self.listening()
            else:
                yield message


class AioPika(Listening, socketio.AsyncAioPikaManager):
    async def _queue(self, channel, exchange):
        queue = await super()._queue(channel, exchange)
        self.listening()
        return queue


class Kombu(Listening, socketio.KombuManager):
    def _connection(self):
        connection = super()._connection()
        make_queue = connection.SimpleQueue

        def make_queue_and_tell(queue):
            made = make_queue(queue)  # declares and binds it
            self.listening()
            return made

        connection.SimpleQueue = make_queue_and_tell
        return connection


class KafkaWriter(socketio.KafkaManager):
    """Can publish: since 5.14.0 the library hands text to a producer that takes bytes only, and so every emit fails."""

    def _publish(self, data):
        self.producer.send(self.channel, value=self.json.dumps(data).encode())
        self.producer.flush()


class Kafka(Listening, KafkaWriter):
    def _kafka_listen(self):
        while not self.consumer.assignment():
            self.consumer.poll(timeout_ms=10)
        for partition in self.consumer.assignment():
            self.consumer.position(partition)
        self.listening()
        yield from super()._kafka_listen()


# For `socketio.AsyncServer`.
ASYNC = {"redis": Redis, "aio_pika": AioPika}
# For `socketio.Server`.
SYNC = {"kombu": Kombu, "kafka": Kafka}
# For processes that only emit.
WRITERS = {
    "redis": socketio.RedisManager,
    "kombu": socketio.KombuManager,
    "aio_pika": socketio.AsyncAioPikaManager,
    "kafka": KafkaWriter,
}
