use rdkafka::{consumer::*, producer::*, *};
use std::time::*;
use tests::broker_suite::*;
fn main() {
    let b = std::env::args().nth(1).unwrap();
    let t = unique("lat");
    tests::client::create_topic(&b, &t, 4, &[]).unwrap();
    let c = consumer(&b, &t, &[]);
    let p = Producing::new(&b, &[("transactional.id", &t), ("linger.ms", "0")]);
    p.producer
        .init_transactions(Duration::from_secs(10))
        .unwrap();
    let mut l = vec![];
    for i in 0..300 {
        let s = Instant::now();
        p.producer.begin_transaction().unwrap();
        for k in 0..4 {
            p.send(&t, k, "k", Some(b"v"));
        }
        while p.producer.in_flight_count() > 0 {
            p.producer.poll(Duration::from_millis(1));
        }
        let a = s.elapsed();
        let mut o = TopicPartitionList::new();
        o.add_partition_offset(&t, 0, Offset::Offset(i)).unwrap();
        p.producer
            .send_offsets_to_transaction(&o, &c.group_metadata().unwrap(), Duration::from_secs(5))
            .unwrap();
        let d = s.elapsed();
        p.producer
            .commit_transaction(Duration::from_secs(5))
            .unwrap();
        l.push((s.elapsed(), a, d));
    }
    l.sort();
    println!("median {:?} p90 {:?} max {:?}", l[150], l[270], l[299]);
}
