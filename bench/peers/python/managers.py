"""Managers of python-socketio by the URL of a broker: redis://, amqp:// (aio_pika or, without asyncio, kombu), amqp+kombu://, kafka://"""
import json

import socketio


class KafkaManager(socketio.KafkaManager):
    """Its `_publish` hands text to a client library that takes bytes alone, so that every emit fails since 5.14."""

    def _publish(self, data):
        self.producer.send(self.channel, value=json.dumps(data).encode())
        self.producer.flush()


def wants_threads(url):
    return url.startswith(("kafka://", "amqp+kombu://"))


def manager(url, write_only=False):
    if url.startswith("redis"):
        return socketio.RedisManager(url, write_only=write_only)
    if url.startswith("kafka"):
        return KafkaManager(url, write_only=write_only)
    return socketio.KombuManager(url.replace("amqp+kombu://", "amqp://"), write_only=write_only)


def async_manager(url):
    return socketio.AsyncRedisManager(url) if url.startswith("redis") else socketio.AsyncAioPikaManager(url)
