//! Processes that tell that they are alive.

use std::time::Duration;

use super::{Opening, PINS, Store, claim};

pub(crate) async fn whoever_beats_is_a_member_until_it_leaves(store: &dyn Store) {
    let (one, other) = (store.open(PINS).await, store.open(PINS).await);
    let (a, b) = (one.members.own_id(), other.members.own_id());
    assert_ne!(a, b);
    one.members.beat("reads 0").await.unwrap();
    other.members.beat("").await.unwrap();
    one.members.beat("reads 7").await.unwrap();
    let geo = Opening { pipeline: "geo", source: "test://geo", target: "geo" };
    store.open(geo).await.members.beat("elsewhere").await.unwrap();

    let told = other.members.members().await.unwrap();
    let mut expected = [(a, "reads 7"), (b, "")];
    expected.sort();
    let found: Vec<_> = told.iter().map(|member| (member.id, &*member.note)).collect();
    assert_eq!(found, expected);
    assert!(told.iter().all(|member| member.age < Duration::from_secs(60)), "{told:?}");

    one.members.leave().await.unwrap();
    let left = other.members.members().await.unwrap();
    assert_eq!(left.iter().map(|member| member.id).collect::<Vec<_>>(), [b]);
}

pub(crate) async fn a_claim_names_the_process_that_made_it(store: &dyn Store) {
    let (one, other) = (store.open(PINS).await, store.open(PINS).await);
    claim(&one).await;
    assert_eq!(other.claims.lanes().await.unwrap()[0].member, Some(one.members.own_id()));
    claim(&other).await;
    assert_eq!(one.claims.lanes().await.unwrap()[0].member, Some(other.members.own_id()));
}
