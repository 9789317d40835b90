"""python-socketio's Kafka manager: emits what it is told to, and says what it hears. See README.md."""
import json
import sys
import threading

import socketio

from lines import payload, say


class Manager(socketio.KafkaManager):
    """The manager as it is, except that it can publish: since 5.14.0 it hands text to a producer that takes bytes only."""

    def _publish(self, data):
        self.producer.send(self.channel, value=self.json.dumps(data).encode())
        self.producer.flush()

    def stand_at_the_end(self):
        """Returns once everything that is published from now on will be heard."""
        while not self.consumer.assignment():
            self.consumer.poll(timeout_ms=10)
        for partition in self.consumer.assignment():
            self.consumer.position(partition)

    def tell(self):
        for body in self._listen():
            say("heard", message=json.loads(body))


def main():
    manager = Manager(sys.argv[1], channel=sys.argv[2], write_only=True)
    manager.stand_at_the_end()
    threading.Thread(target=manager.tell, daemon=True).start()
    say("ready")
    for line in sys.stdin:
        command = json.loads(line)
        try:
            manager.emit(command["name"], payload(command), room=command.get("room"), namespace="/")
            say("done", id=command.get("id"), result=None)
        except Exception as error:
            say("failure", error=f"{command.get('cmd')}: {error!r}")


main()
