//! What the pager holds in memory.

use std::sync::Arc;

use crate::config::PageConfig;

/// The paging engine. See [`step`](Pager::step).
#[derive(Debug)]
pub struct Pager {
    pub(crate) config: Arc<PageConfig>,
}
