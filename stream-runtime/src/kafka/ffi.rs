//! The few calls of librdkafka, and of the allocator that it shares with us, that nobody wraps. The only unsafe lines
//! of the crate.
//!
//! Reading a partition's queue in batches takes half the CPU of polling it record by record, and
//! records are seen as borrowed slices, so that the task copies each exactly once.
//!
//! The batch call sets the consumer's `position` one past an end of partition (it adds one to the
//! offset of the end as it does to a record's): nobody here asks for it. Readers keep their place
//! themselves, from the records and the ends they see.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::{CStr, CString, c_void};
use std::marker::PhantomData;
use std::ptr;
use std::sync::Arc;

use rdkafka::TopicPartitionList;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};
use rdkafka_sys as sys;

use super::Wake;

/// Tells a client of brokers, as `host:port` with commas between them; it keeps those that it has.
pub(super) fn add_brokers<C: ClientContext>(client: &Client<C>, brokers: &str) {
    let Ok(brokers) = CString::new(brokers) else {
        return;
    };
    // SAFETY: the client lives as long as the borrow, and librdkafka copies the list.
    unsafe { sys::rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr()) };
}

/// Room for the pointers of one batch; made once, used for every queue of a thread.
pub(crate) struct Batch {
    messages: Vec<*mut sys::rd_kafka_message_t>,
}

impl Batch {
    /// Room for `size` records (at least 1).
    pub(crate) fn new(size: usize) -> Self {
        Self {
            messages: vec![ptr::null_mut(); size.max(1)],
        }
    }

    pub(crate) fn size(&self) -> usize {
        self.messages.len()
    }
}

/// What a partition's queue holds.
pub(crate) enum Fetched<'a> {
    Record(RecordView<'a>),
    /// The end of the partition as the broker said with the last fetch: the next offset to be written.
    End {
        offset: i64,
    },
    Error {
        code: RDKafkaErrorCode,
        text: String,
    },
}

/// A record inside librdkafka's memory, valid during the visit.
pub(crate) struct RecordView<'a> {
    pub(crate) offset: i64,
    /// Epoch milliseconds; -1 when the record has none.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: Headers<'a>,
}

/// The headers of a record, read when asked for.
#[derive(Clone, Copy)]
pub(crate) struct Headers<'a> {
    message: *const sys::rd_kafka_message_t,
    lives: PhantomData<&'a sys::rd_kafka_message_t>,
}

impl<'a> Headers<'a> {
    /// Name and value of each header, in the order of the record.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, Option<&'a [u8]>)> + use<'a> {
        let mut list = ptr::null_mut();
        // SAFETY: the message lives for 'a (held by the visit); on any error `list` stays null.
        let found = unsafe { sys::rd_kafka_message_headers(self.message, &mut list) };
        let list = if found == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            list
        } else {
            ptr::null_mut()
        };
        let mut index = 0;
        std::iter::from_fn(move || {
            if list.is_null() {
                return None;
            }
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: `list` belongs to the message, which lives for 'a; an index past the end is
            // answered with an error, and then nothing was written.
            let got = unsafe {
                sys::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size)
            };
            if got != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            index += 1;
            // SAFETY: librdkafka ends names with a zero byte and keeps them as long as the message.
            let name = unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("?");
            // SAFETY: `value` is null or points to `size` bytes that live as long as the message.
            Some((name, unsafe { bytes(value, size) }))
        })
    }
}

/// The queue of one partition, taken off the consumer's own.
///
/// It must be made before the partition is assigned, or its first records go elsewhere.
pub(crate) struct PartitionQueue(Watched<Wake>);

impl PartitionQueue {
    /// `None` when the topic's name cannot be one.
    pub(super) fn new<C: ConsumerContext + 'static>(
        consumer: &Arc<BaseConsumer<C>>,
        topic: &str,
        partition: i32,
        wake: &Wake,
    ) -> Option<Self> {
        let topic = CString::new(topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the client is alive (we hold it) and the topic ends with a zero byte.
        let queue = unsafe { sys::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) };
        if queue.is_null() {
            return None;
        }
        // SAFETY: `queue` is a reference of ours; null as its target stops the forwarding to the
        // consumer's queue.
        unsafe { sys::rd_kafka_queue_forward(queue, ptr::null_mut()) };
        Some(Self(Watched::new(
            queue,
            wake.clone(),
            Arc::clone(consumer) as Arc<dyn Any + Send + Sync>,
        )))
    }

    /// Shows what is there, at most a batch, without waiting. Returns how many were shown: fewer
    /// than `batch.size()` means that the queue was empty, and that it will wake the thread.
    pub(crate) fn read(&self, batch: &mut Batch, mut visit: impl FnMut(Fetched<'_>)) -> usize {
        let room = batch.messages.len();
        // SAFETY: the array has `room` places; librdkafka writes as many as it returns.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(self.0.queue, 0, batch.messages.as_mut_ptr(), room)
        };
        let count = usize::try_from(count).unwrap_or(0);
        let mut messages = Messages {
            left: &batch.messages[..count],
        };
        while let Some(message) = messages.next() {
            visit(message.view());
        }
        count
    }
}

/// The messages of a batch not yet visited; a panic in the visit frees them too.
struct Messages<'a> {
    left: &'a [*mut sys::rd_kafka_message_t],
}

impl Messages<'_> {
    fn next(&mut self) -> Option<Message> {
        let (first, rest) = self.left.split_first()?;
        self.left = rest;
        Some(Message(*first))
    }
}

impl Drop for Messages<'_> {
    fn drop(&mut self) {
        while self.next().is_some() {}
    }
}

/// One message, freed when dropped.
struct Message(*mut sys::rd_kafka_message_t);

impl Message {
    fn view(&self) -> Fetched<'_> {
        // SAFETY: librdkafka gave us this message and we have not freed it.
        let message = unsafe { &*self.0 };
        match message.err {
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Fetched::Record(RecordView {
                offset: message.offset,
                // SAFETY: as above; the kind of the timestamp is not asked for.
                timestamp: unsafe { sys::rd_kafka_message_timestamp(self.0, ptr::null_mut()) },
                // SAFETY: key and payload are null or as long as said, and live as long as the message.
                key: unsafe { bytes(message.key, message.key_len) },
                // SAFETY: as for the key.
                value: unsafe { bytes(message.payload, message.len) },
                headers: Headers {
                    message: self.0,
                    lives: PhantomData,
                },
            }),
            sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF => Fetched::End {
                offset: message.offset,
            },
            code => {
                // SAFETY: for an error the text is static or the message's payload.
                let text = unsafe { CStr::from_ptr(sys::rd_kafka_message_errstr(self.0)) };
                Fetched::Error {
                    code: code.into(),
                    text: text.to_string_lossy().into_owned(),
                }
            }
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: ours, and freed only here.
        unsafe { sys::rd_kafka_message_destroy(self.0) }
    }
}

/// # Safety
/// `data` is null or points to `size` bytes that live for 'a.
unsafe fn bytes<'a>(data: *const c_void, size: usize) -> Option<&'a [u8]> {
    if data.is_null() {
        return None;
    }
    // SAFETY: the caller's promise.
    Some(unsafe { std::slice::from_raw_parts(data.cast(), size) })
}

/// What a queue rings when it gets something while empty, on a thread of librdkafka and under the
/// queue's lock: it must not block, nor call librdkafka.
pub(super) trait Alarm: Send + Sync {
    fn ring(&self);
}

impl Alarm for Wake {
    fn ring(&self) {
        self.wake();
    }
}

/// A reference to a queue of a client, with its alarm.
struct Watched<A> {
    queue: *mut sys::rd_kafka_queue_t,
    alarm: Box<A>,
    /// The client outlives its queues.
    _client: Arc<dyn Any + Send + Sync>,
}

impl<A: Alarm> Watched<A> {
    /// Takes over a reference to `queue`, a queue of `client`.
    fn new(
        queue: *mut sys::rd_kafka_queue_t,
        alarm: A,
        client: Arc<dyn Any + Send + Sync>,
    ) -> Self {
        unsafe extern "C" fn ring<A: Alarm>(_: *mut sys::rd_kafka_t, alarm: *mut c_void) {
            // SAFETY: the address of the alarm in its box, which is dropped after this callback is
            // taken off.
            unsafe { &*alarm.cast::<A>() }.ring();
        }
        let alarm = Box::new(alarm);
        let address = ptr::from_ref(&*alarm).cast_mut().cast();
        // SAFETY: the queue is alive; see `ring` for the address.
        unsafe { sys::rd_kafka_queue_cb_event_enable(queue, Some(ring::<A>), address) };
        Self {
            queue,
            alarm,
            _client: client,
        }
    }
}

impl<A> Drop for Watched<A> {
    fn drop(&mut self) {
        // SAFETY: a queue we own a reference of. librdkafka rings under the queue's lock, which the
        // first call takes too: after it nobody uses the alarm any more.
        unsafe {
            sys::rd_kafka_queue_cb_event_enable(self.queue, None, ptr::null_mut());
            sys::rd_kafka_queue_destroy(self.queue);
        }
    }
}

/// The queue of a client's own events: rebalances and errors, or delivery reports.
pub(super) struct EventQueue<A>(Watched<A>);

// SAFETY: librdkafka's queues are made for use by several threads, each call locks; the alarm is
// `Send` and `Sync` itself.
unsafe impl<A: Alarm> Send for EventQueue<A> {}
// SAFETY: as above.
unsafe impl<A: Alarm> Sync for EventQueue<A> {}

impl EventQueue<Wake> {
    /// Of a consumer; `None` without a group.
    pub(super) fn of_consumer<C: ConsumerContext + 'static>(
        consumer: &Arc<BaseConsumer<C>>,
        wake: &Wake,
    ) -> Option<Self> {
        // SAFETY: the client is alive; null when it has no group.
        let queue = unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        let client = Arc::clone(consumer) as Arc<dyn Any + Send + Sync>;
        (!queue.is_null()).then(|| Self(Watched::new(queue, wake.clone(), client)))
    }
}

impl<A: Alarm> EventQueue<A> {
    /// Of a producer.
    pub(super) fn of_producer<C: ProducerContext + 'static>(
        producer: &Arc<BaseProducer<C>>,
        alarm: A,
    ) -> Option<Self> {
        // SAFETY: the client is alive.
        let queue = unsafe { sys::rd_kafka_queue_get_main(producer.client().native_ptr()) };
        let client = Arc::clone(producer) as Arc<dyn Any + Send + Sync>;
        (!queue.is_null()).then(|| Self(Watched::new(queue, alarm, client)))
    }

    /// Whether something waits to be polled.
    pub(super) fn has_events(&self) -> bool {
        // SAFETY: a queue we own a reference of.
        unsafe { sys::rd_kafka_queue_length(self.0.queue) > 0 }
    }

    pub(super) fn alarm(&self) -> &A {
        &self.0.alarm
    }
}

/// Who this member is in the group, as the group's coordinator checks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupToken {
    /// Empty before the first join.
    pub(crate) member: String,
    /// Negative before the first join and after the member is lost.
    pub(crate) generation: i32,
}

impl GroupToken {
    /// A classic group accepts a commit from nobody in particular: never make one.
    pub(crate) fn is_member(&self) -> bool {
        !self.member.is_empty() && self.generation >= 0
    }
}

/// Commits offsets outside a transaction and waits for the answer: librdkafka's own call for that has no bound.
///
/// # Errors
/// The group refuses them. `OperationTimedOut` once `patient` says no: whether they are committed is not known then.
pub(super) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
    patient: impl Fn() -> bool,
) -> Result<(), KafkaError> {
    const SLICE_MS: i32 = 100;
    let refused = |code: sys::rd_kafka_resp_err_t| match code {
        sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(KafkaError::ConsumerCommit(code.into())),
    };
    let client = consumer.client().native_ptr();
    // SAFETY: the client is alive.
    let answers = Answers(unsafe { sys::rd_kafka_queue_new(client) });
    // SAFETY: client, list and queue are alive; the list is copied, and without a callback nothing of ours is kept.
    refused(unsafe {
        sys::rd_kafka_commit_queue(client, offsets.ptr(), answers.0, None, ptr::null_mut())
    })?;
    loop {
        // SAFETY: the queue is alive; the event, if any, is ours.
        let event = unsafe { sys::rd_kafka_queue_poll(answers.0, SLICE_MS) };
        if !event.is_null() {
            // SAFETY: an event that we own, destroyed once.
            let code = unsafe {
                let code = sys::rd_kafka_event_error(event);
                sys::rd_kafka_event_destroy(event);
                code
            };
            return refused(code);
        }
        if !patient() {
            return Err(KafkaError::ConsumerCommit(
                RDKafkaErrorCode::OperationTimedOut,
            ));
        }
    }
}

/// A queue made for the answer of one call. What comes after it is gone, librdkafka throws away.
struct Answers(*mut sys::rd_kafka_queue_t);

impl Drop for Answers {
    fn drop(&mut self) {
        // SAFETY: made by us, and destroyed only here.
        unsafe { sys::rd_kafka_queue_destroy(self.0) }
    }
}

/// Reads the member id and generation of a consumer.
pub(super) fn group_token<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<GroupToken> {
    // SAFETY: the client is alive; null when it has no group.
    let metadata = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
    if metadata.is_null() {
        return None;
    }
    // SAFETY: `metadata` is ours until destroyed below; its member id ends with a zero byte and is
    // copied before that.
    unsafe {
        let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
        let member = if member.is_null() {
            String::new()
        } else {
            CStr::from_ptr(member).to_string_lossy().into_owned()
        };
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        Some(GroupToken { member, generation })
    }
}

/// Lets the allocator keep free memory for longer, unless the environment says how long (`MIMALLOC_PURGE_DELAY`).
/// Buffers of fetched records are freed and asked for all the time, and the kernel zeroes each page that it gave and
/// took.
#[cfg(feature = "mimalloc")]
pub(crate) fn keep_freed_memory() {
    /// `mi_option_purge_delay`, which the bindings do not name.
    const PURGE: libmimalloc_sys::mi_option_t = 15;
    const MILLISECONDS: std::ffi::c_long = 10_000;
    // SAFETY: an option of this number exists in mimalloc 2 and 3, and setting one has no conditions.
    unsafe { libmimalloc_sys::mi_option_set_default(PURGE, MILLISECONDS) }
}
