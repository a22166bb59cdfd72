"""Python's confluent-kafka against a broker: topics, an idempotent producer, a group, a transaction, an abort.

usage: confluent.py BOOTSTRAP   (prints `ok` when all of it worked)
"""

import sys
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

BOOTSTRAP = {"bootstrap.servers": sys.argv[1], "broker.address.family": "v4"}
COUNT = 1000


def producer(**more):
    return Producer(BOOTSTRAP | {"enable.idempotence": True, "linger.ms": 5} | more)


def consumer(group, **more):
    config = {"group.id": group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    return Consumer(BOOTSTRAP | config | more)


def deliver(to, topic, records):
    """Sends (key, value) and returns the offsets that were reported."""
    offsets = []

    def delivered(error, message):
        assert error is None, error
        offsets.append((message.partition(), message.offset()))

    for key, value in records:
        to.produce(topic, key=key, value=value, on_delivery=delivered)
        to.poll(0)
    assert to.flush(20) == 0, "not everything was delivered"
    return offsets


def read(group, topic, count, **more):
    """Reads so many records, then commits."""
    reader = consumer(group, **more)
    reader.subscribe([topic])
    records, until = [], time.time() + 30
    while len(records) < count:
        assert time.time() < until, f"{len(records)} of {count} records of {topic}"
        message = reader.poll(0.2)
        if message is not None:
            assert message.error() is None, message.error()
            records.append((message.key(), message.value()))
    assert reader.poll(0.5) is None, f"more than {count} records in {topic}"
    reader.commit(asynchronous=False)
    return reader, records


admin = AdminClient(BOOTSTRAP)
for name, created in admin.create_topics([NewTopic("python", 3, 1), NewTopic("python-out", 1, 1)]).items():
    created.result(20)
assert len(admin.list_topics("python", timeout=10).topics["python"].partitions) == 3
resource = ConfigResource(ConfigResource.Type.TOPIC, "python")
assert "cleanup.policy" in admin.describe_configs([resource])[resource].result(20)

sent = [(f"key-{n % 7}".encode(), f"value-{n}".encode()) for n in range(COUNT)]
assert len(set(deliver(producer(), "python", sent))) == COUNT

group, records = read("python-group", "python", COUNT)
assert sorted(records) == sorted(sent)
committed = group.committed([TopicPartition("python", partition) for partition in range(3)], timeout=10)
assert sum(partition.offset for partition in committed if partition.offset > 0) == COUNT, committed

# What the group has read, to another topic, in one transaction with its offsets; then a transaction that is undone.
transactional = producer(**{"transactional.id": "python-tx"})
transactional.init_transactions(20)
transactional.begin_transaction()
deliver(transactional, "python-out", [(b"sum", str(COUNT).encode())])
transactional.send_offsets_to_transaction(group.position(group.assignment()), group.consumer_group_metadata(), 20)
transactional.commit_transaction(20)
transactional.begin_transaction()
deliver(transactional, "python-out", [(b"undone", b"x")])
transactional.abort_transaction(20)
deliver(producer(), "python-out", [(b"after", b"y")])
group.close()
out, records = read("python-out-group", "python-out", 2, **{"isolation.level": "read_committed"})
assert records == [(b"sum", str(COUNT).encode()), (b"after", b"y")], records
out.close()

try:
    admin.delete_topics(["python"])["python"].result(20)
    admin.delete_topics(["nowhere"])["nowhere"].result(20)
    raise SystemExit("deleting a topic that is not there worked")
except KafkaException as error:
    assert error.args[0].name() == "UNKNOWN_TOPIC_OR_PART", error
print("ok")
