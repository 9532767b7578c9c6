//! The machines and engines as a whole, for those who ask about them.

use std::sync::Arc;

use super::{lifecycle::Lifecycle, nodes::Nodes, pools::Pools};

/// What there is to work with, and what can be done to it.
#[derive(Clone)]
pub(crate) struct Fleet {
    pub(crate) pools: Arc<Pools>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) lifecycle: Arc<Lifecycle>,
}
