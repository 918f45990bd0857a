//! What librdkafka can do and its Rust crate has no safe way to ask for: ids of topics, epochs of leaders,
//! and headers whose names are not UTF-8, which the crate would panic on.

use std::ffi::{CStr, CString};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use uuid::Uuid;

/// A topic as the cluster has it now.
#[derive(Debug, Clone)]
pub(super) struct TopicFacts {
    pub name: String,
    /// Nil if the brokers are too old to have any.
    pub id: Uuid,
    pub partitions: usize,
}

/// Frees what librdkafka has made.
struct Freed<T>(*mut T, unsafe extern "C" fn(*mut T));

impl<T> Drop for Freed<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer came from the function that belongs to this one, and is used by nobody else.
        unsafe { (self.1)(self.0) }
    }
}

impl<T> Freed<T> {
    fn new(pointer: *mut T, free: unsafe extern "C" fn(*mut T)) -> Result<Self, RDKafkaErrorCode> {
        if pointer.is_null() { Err(RDKafkaErrorCode::Fail) } else { Ok(Self(pointer, free)) }
    }
}

/// Asks the cluster about topics, in their order. Waits for the answer.
pub(super) fn describe<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topics: &[&str],
    time: Duration,
) -> Result<Vec<Result<TopicFacts, RDKafkaErrorCode>>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let client = client.client().native_ptr();
    // SAFETY: the client lives while it is borrowed. Names are copied by the first call. What is made here
    // is freed once, after its last use; the result belongs to the event.
    unsafe {
        let topics =
            rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let topics = Freed::new(topics, rd::rd_kafka_TopicCollection_destroy)?;
        let kind = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let options = rd::rd_kafka_AdminOptions_new(client, kind);
        let options = Freed::new(options, rd::rd_kafka_AdminOptions_destroy)?;
        let set =
            rd::rd_kafka_AdminOptions_set_request_timeout(options.0, millis, ptr::null_mut(), 0);
        ok(set)?;
        let queue = Freed::new(rd::rd_kafka_queue_new(client), rd::rd_kafka_queue_destroy)?;
        rd::rd_kafka_DescribeTopics(client, topics.0, options.0, queue.0);
        let event = rd::rd_kafka_queue_poll(queue.0, millis.saturating_add(1000));
        if event.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let event = Freed::new(event, rd::rd_kafka_event_destroy)?;
        ok(rd::rd_kafka_event_error(event.0))?;
        let result = rd::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let found = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let found = if count == 0 { &[][..] } else { slice::from_raw_parts(found, count) };
        Ok(found.iter().map(|topic| facts(*topic)).collect())
    }
}

/// # Safety
/// `topic` belongs to a result that lives.
unsafe fn facts(
    topic: *const rd::rd_kafka_TopicDescription_t,
) -> Result<TopicFacts, RDKafkaErrorCode> {
    // SAFETY: all of these read from the description; a name ends in a zero.
    unsafe {
        let error = rd::rd_kafka_TopicDescription_error(topic);
        if !error.is_null() {
            ok(rd::rd_kafka_error_code(error))?;
        }
        let name = CStr::from_ptr(rd::rd_kafka_TopicDescription_name(topic));
        let id = rd::rd_kafka_TopicDescription_topic_id(topic);
        let id = if id.is_null() {
            Uuid::nil()
        } else {
            let high = rd::rd_kafka_Uuid_most_significant_bits(id);
            let low = rd::rd_kafka_Uuid_least_significant_bits(id);
            Uuid::from_u64_pair(high.cast_unsigned(), low.cast_unsigned())
        };
        let mut partitions = 0;
        rd::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        Ok(TopicFacts { name: name.to_string_lossy().into_owned(), id, partitions })
    }
}

fn ok(code: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        other => Err(other.into()),
    }
}

/// Which leader wrote the message; -1 if it is not known.
pub(super) fn leader_epoch(message: &BorrowedMessage<'_>) -> i32 {
    // SAFETY: the message lives as long as it is borrowed.
    unsafe { rd::rd_kafka_message_leader_epoch(message.ptr()) }
}

/// Says of all partitions in the list which leader wrote what comes before their offsets.
pub(super) fn set_leader_epoch(partitions: &mut TopicPartitionList, epoch: i32) {
    // SAFETY: a list has as many elements as it says, and nobody else has it while we do.
    unsafe {
        let list = &*partitions.ptr();
        for at in 0..usize::try_from(list.cnt).unwrap_or_default() {
            rd::rd_kafka_topic_partition_set_leader_epoch(list.elems.add(at), epoch);
        }
    }
}

/// Hands each header of the message to `take`, in their order.
pub(super) fn headers(message: &BorrowedMessage<'_>, mut take: impl FnMut(&CStr, Option<&[u8]>)) {
    // SAFETY: headers belong to the message, which lives as long as it is borrowed; a name ends in a zero,
    // and a value has the length that comes with it.
    unsafe {
        let mut headers = ptr::null_mut();
        if ok(rd::rd_kafka_message_headers(message.ptr(), &raw mut headers)).is_err() {
            return;
        }
        for at in 0.. {
            let (mut name, mut value, mut length) = (ptr::null(), ptr::null(), 0);
            let got = rd::rd_kafka_header_get_all(
                headers,
                at,
                &raw mut name,
                &raw mut value,
                &raw mut length,
            );
            if ok(got).is_err() {
                return;
            }
            let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), length));
            take(CStr::from_ptr(name), value);
        }
    }
}
