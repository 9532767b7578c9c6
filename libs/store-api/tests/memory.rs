//! The suite against the store in memory.
#![cfg(all(test, feature = "conformance"))]

use std::sync::Arc;

use async_trait::async_trait;
use store_api::{
    MemoryStore, Store,
    conformance::{StoreHarness, run},
};

struct Memory;

#[async_trait]
impl StoreHarness for Memory {
    async fn fresh(&self) -> Arc<dyn Store> {
        Arc::new(MemoryStore::default())
    }

    /// It has no process of its own that could die.
    async fn after_a_crash(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store
    }
}

#[tokio::test]
async fn the_store_in_memory_keeps_the_promises_of_a_store() {
    run(&Memory, 200, 200).await.unwrap();
}
