//! What runs on a cluster, for people without kubectl: deploying, looking, logs, going back.

pub(crate) mod deploy;
pub(crate) mod get;
pub(crate) mod logs;
mod manifests;
pub(crate) mod new;
mod page;
pub(crate) mod rollback;
mod rollout;
mod trouble;
mod wait;
