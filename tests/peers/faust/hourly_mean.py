"""The hourly mean in Faust: a tumbling table in memory, a sink when a window closes."""

import asyncio
import os
import sys
import tempfile
import time
from datetime import datetime, timedelta

import faust
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

RECORDS = int(os.environ["BENCH_RECORDS"])


class Reading(faust.Record, coerce=True, date_parser=datetime.fromisoformat):
    datetime: datetime
    voltage: float


app = faust.App(
    os.environ["BENCH_APP"],
    broker="kafka://" + os.environ["BENCH_BROKER"],
    topic_partitions=4,
    topic_replication_factor=1,
    store="memory://",
    datadir=tempfile.mkdtemp(prefix="faust-"),
    web_enabled=False,
    consumer_auto_offset_reset="earliest",
    # Kafka 4 does not know the requests by which Faust makes topics: `make_topics` does it.
    topic_allow_declare=False,
    topic_disable_leader=True,
)
readings = app.topic(os.environ["BENCH_TOPIC"], key_type=str, value_type=Reading)
means = app.topic(os.environ["BENCH_SINK"], key_type=str, value_type=bytes, value_serializer="json")
seen = 0


def mark(word):
    print(f"@{word} {time.time_ns() // 1000}", flush=True)


async def closed(key, value):
    meter, (start, _) = key
    count, total = value
    await means.send(key=meter, value={"start": start, "count": count, "mean": total / count})


hours = (
    app.Table("hours", default=lambda: [0, 0.0], partitions=4, on_window_close=closed)
    .tumbling(timedelta(hours=1), expires=timedelta(seconds=30))
    .relative_to_field(Reading.datetime)
)


@app.agent(readings)
async def collect(stream):
    global seen
    async for key, reading in stream.items():
        seen += 1
        if seen == 1:
            mark("started")
        count, total = hours[key].value()
        hours[key] = [count + 1, total + reading.voltage]
        if seen == RECORDS:
            mark("done")
            os._exit(0)


async def make_topics():
    admin = AIOKafkaAdminClient(bootstrap_servers=os.environ["BENCH_BROKER"])
    await admin.start()
    names = [f"{app.conf.id}-hours-changelog"]
    await admin.create_topics([NewTopic(name, 4, 1) for name in names])
    await admin.close()


if __name__ == "__main__":
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.run_until_complete(make_topics())
    sys.argv = [sys.argv[0], "worker", "-l", "warn", "--without-web"]
    app.main()
