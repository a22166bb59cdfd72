import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.file.Files;
import java.time.Duration;
import java.time.Instant;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.EmitStrategy;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.state.WindowStore;

/** The hourly mean in Kafka Streams' DSL: windows of an hour, 30 s of grace, an output when a window closes. */
public class HourlyMean {
    public static class Reading {
        public String datetime;
        public double voltage;
    }

    public static class Hour {
        public long count;
        public double sum;
    }

    public record Mean(long start, long count, double mean) {}

    static final ObjectMapper JSON = new ObjectMapper();

    static <T> Serde<T> json(Class<T> type) {
        return Serdes.serdeFrom(
                (topic, value) -> {
                    try {
                        return value == null ? null : JSON.writeValueAsBytes(value);
                    } catch (Exception e) {
                        throw new RuntimeException(e);
                    }
                },
                (topic, bytes) -> {
                    try {
                        return bytes == null ? null : JSON.readValue(bytes, type);
                    } catch (Exception e) {
                        throw new RuntimeException(e);
                    }
                });
    }

    static void mark(String word) {
        Instant now = Instant.now();
        System.out.println("@" + word + " " + (now.getEpochSecond() * 1_000_000 + now.getNano() / 1000));
    }

    public static void main(String[] arguments) throws Exception {
        long records = Long.parseLong(System.getenv("BENCH_RECORDS"));
        Properties properties = new Properties();
        properties.put("bootstrap.servers", System.getenv("BENCH_BROKER"));
        properties.put("application.id", System.getenv("BENCH_APP"));
        properties.put("processing.guarantee", arguments[0]);
        properties.put("num.stream.threads", System.getenv("BENCH_THREADS"));
        properties.put("commit.interval.ms", "100");
        properties.put("state.dir", Files.createTempDirectory("kafka-streams-").toString());
        properties.put("auto.offset.reset", "earliest");
        properties.put("replication.factor", "1");

        AtomicLong seen = new AtomicLong();
        CountDownLatch done = new CountDownLatch(1);
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(
                        System.getenv("BENCH_TOPIC"),
                        Consumed.with(Serdes.String(), json(Reading.class))
                                .withTimestampExtractor((record, before) ->
                                        Instant.parse(((Reading) record.value()).datetime).toEpochMilli()))
                .peek((key, value) -> {
                    long now = seen.incrementAndGet();
                    if (now == 1) {
                        mark("started");
                    } else if (now == records) {
                        mark("done");
                        done.countDown();
                    }
                })
                .groupByKey()
                .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofHours(1), Duration.ofSeconds(30)))
                .emitStrategy(EmitStrategy.onWindowClose())
                .aggregate(
                        Hour::new,
                        (key, reading, hour) -> {
                            hour.count++;
                            hour.sum += reading.voltage;
                            return hour;
                        },
                        Materialized.<String, Hour, WindowStore<Bytes, byte[]>>as("hours")
                                .withKeySerde(Serdes.String())
                                .withValueSerde(json(Hour.class)))
                .toStream()
                .map((window, hour) -> org.apache.kafka.streams.KeyValue.pair(
                        window.key(), new Mean(window.window().start(), hour.count, hour.sum / hour.count)))
                .to(System.getenv("BENCH_SINK"), Produced.with(Serdes.String(), json(Mean.class)));

        try (KafkaStreams streams = new KafkaStreams(builder.build(), properties)) {
            streams.start();
            done.await();
        }
    }
}
