//! What librdkafka can do and its Rust crate has no safe way to ask for: ids of topics,
//! and making and describing them through a client that is there already.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::bindings as rd;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;
use uuid::Uuid;

/// A topic as the cluster has it now.
#[derive(Debug, Clone)]
pub(crate) struct TopicFacts {
    pub name: String,
    /// Nil if the brokers are too old to have any.
    pub id: Uuid,
    pub partitions: usize,
    /// How often each partition is kept.
    pub replication: usize,
}

/// A topic to be.
#[derive(Debug)]
pub(crate) struct NewTopic<'a> {
    pub name: &'a str,
    pub partitions: i32,
    pub replication: i32,
    pub settings: &'a [(&'a str, &'a str)],
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

/// The answer to a question of the admin kind, which is asked by `send`. Waits for it.
///
/// # Safety
/// `client` lives, and `send` uses what it is given for nothing else than to send.
unsafe fn ask(
    client: *mut rd::rd_kafka_t,
    kind: rd::rd_kafka_admin_op_t,
    time: Duration,
    send: impl FnOnce(*const rd::rd_kafka_AdminOptions_t, *mut rd::rd_kafka_queue_t),
) -> Result<Freed<rd::rd_kafka_event_t>, RDKafkaErrorCode> {
    let millis = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: what is made here is freed once, after its last use.
    unsafe {
        let options = rd::rd_kafka_AdminOptions_new(client, kind);
        let options = Freed::new(options, rd::rd_kafka_AdminOptions_destroy)?;
        let set =
            rd::rd_kafka_AdminOptions_set_request_timeout(options.0, millis, ptr::null_mut(), 0);
        ok(set)?;
        let queue = Freed::new(rd::rd_kafka_queue_new(client), rd::rd_kafka_queue_destroy)?;
        send(options.0, queue.0);
        let event = rd::rd_kafka_queue_poll(queue.0, millis.saturating_add(1000));
        if event.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let event = Freed::new(event, rd::rd_kafka_event_destroy)?;
        ok(rd::rd_kafka_event_error(event.0))?;
        Ok(event)
    }
}

/// Asks the cluster about topics, in their order. Waits for the answer.
pub(crate) fn describe<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topics: &[&str],
    time: Duration,
) -> Result<Vec<Result<TopicFacts, RDKafkaErrorCode>>, RDKafkaErrorCode> {
    let names: Vec<CString> = topics.iter().filter_map(|topic| CString::new(*topic).ok()).collect();
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let client = client.client().native_ptr();
    // SAFETY: the client lives while it is borrowed. Names are copied by the first call. The result belongs
    // to the event.
    unsafe {
        let topics =
            rd::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let topics = Freed::new(topics, rd::rd_kafka_TopicCollection_destroy)?;
        let kind = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let event = ask(client, kind, time, |options, queue| {
            rd::rd_kafka_DescribeTopics(client, topics.0, options, queue);
        })?;
        let result = rd::rd_kafka_event_DescribeTopics_result(event.0);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let found = rd::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok(listed(found, count).iter().map(|topic| facts(*topic)).collect())
    }
}

/// Makes a topic, with these settings. Waits for the answer.
pub(crate) fn make_topic<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    new: &NewTopic<'_>,
    time: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let text = |text: &str| CString::new(text).map_err(|_| RDKafkaErrorCode::InvalidArgument);
    let name = text(new.name)?;
    let client = client.client().native_ptr();
    // SAFETY: the client lives while it is borrowed. Texts are copied. The result belongs to the event.
    unsafe {
        let topic = rd::rd_kafka_NewTopic_new(
            name.as_ptr(),
            new.partitions,
            new.replication,
            ptr::null_mut(),
            0,
        );
        let topic = Freed::new(topic, rd::rd_kafka_NewTopic_destroy)?;
        for (name, value) in new.settings {
            let (name, value) = (text(name)?, text(value)?);
            ok(rd::rd_kafka_NewTopic_set_config(topic.0, name.as_ptr(), value.as_ptr()))?;
        }
        let mut topics = [topic.0];
        let kind = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS;
        let event = ask(client, kind, time, |options, queue| {
            rd::rd_kafka_CreateTopics(client, topics.as_mut_ptr(), topics.len(), options, queue);
        })?;
        let result = rd::rd_kafka_event_CreateTopics_result(event.0);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let made = rd::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
        let mut made = listed(made, count).iter();
        made.try_for_each(|topic| ok(rd::rd_kafka_topic_result_error(*topic)))
    }
}

/// The settings of a topic, those of its brokers among them. Waits for the answer.
pub(crate) fn settings<C: ConsumerContext>(
    client: &BaseConsumer<C>,
    topic: &str,
    time: Duration,
) -> Result<BTreeMap<String, String>, RDKafkaErrorCode> {
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidArgument)?;
    let client = client.client().native_ptr();
    let kind = rd::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC;
    // SAFETY: the client lives while it is borrowed. The name is copied. The result belongs to the event, and
    // texts in it end in a zero.
    unsafe {
        let resource = rd::rd_kafka_ConfigResource_new(kind, name.as_ptr());
        let resource = Freed::new(resource, rd::rd_kafka_ConfigResource_destroy)?;
        let mut resources = [resource.0];
        let kind = rd::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
        let event = ask(client, kind, time, |options, queue| {
            let resources = resources.as_mut_ptr();
            rd::rd_kafka_DescribeConfigs(client, resources, 1, options, queue);
        })?;
        let result = rd::rd_kafka_event_DescribeConfigs_result(event.0);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Fail);
        }
        let mut count = 0;
        let found = rd::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        let mut settings = BTreeMap::new();
        for resource in listed(found, count) {
            ok(rd::rd_kafka_ConfigResource_error(*resource))?;
            let mut count = 0;
            let entries = rd::rd_kafka_ConfigResource_configs(*resource, &raw mut count);
            for entry in listed(entries, count) {
                let name = CStr::from_ptr(rd::rd_kafka_ConfigEntry_name(*entry));
                let value = rd::rd_kafka_ConfigEntry_value(*entry);
                if !value.is_null() {
                    let value = CStr::from_ptr(value).to_string_lossy().into_owned();
                    settings.insert(name.to_string_lossy().into_owned(), value);
                }
            }
        }
        Ok(settings)
    }
}

/// # Safety
/// There are so many, and they live as long as what they are borrowed from.
unsafe fn listed<'a, T>(all: *mut *const T, count: usize) -> &'a [*const T] {
    // SAFETY: none are asked for where there may be no list.
    if count == 0 { &[] } else { unsafe { slice::from_raw_parts(all, count) } }
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
        let all = rd::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let mut replication = 0;
        if let Some(first) = listed(all, partitions).first() {
            rd::rd_kafka_TopicPartitionInfo_replicas(*first, &raw mut replication);
        }
        let name = name.to_string_lossy().into_owned();
        Ok(TopicFacts { name, id, partitions, replication })
    }
}

fn ok(code: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        other => Err(other.into()),
    }
}
