//! What librdkafka can do and its Rust crate has no safe way to ask for: epochs of leaders, and headers
//! whose names are not UTF-8, which the crate would panic on.

use std::ffi::CStr;
use std::ptr;
use std::slice;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as rd;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;

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
        if !is_ok(rd::rd_kafka_message_headers(message.ptr(), &raw mut headers)) {
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
            if !is_ok(got) {
                return;
            }
            let value = (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), length));
            take(CStr::from_ptr(name), value);
        }
    }
}

fn is_ok(code: RDKafkaRespErr) -> bool {
    code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}
