//! The Container Runtime Interface over containerd's socket.

pub(crate) mod messages;

use std::path::PathBuf;
use std::time::Duration;

use hyper::Uri;
use hyper::http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tonic::Code;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use tower::service_fn;

use messages as m;

/// For calls that start or stop nothing large.
const USUAL: Duration = Duration::from_secs(60);
/// Beyond the grace that a container is given to stop.
const BEYOND_GRACE: Duration = Duration::from_secs(30);
/// Pulls end by the registry's own word or by then.
const PULL: Duration = Duration::from_secs(1800);
/// Answers may list every image and container of a machine.
const LARGEST: usize = 64 * 1024 * 1024;

/// What the runtime said instead of doing what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{message}")]
pub(crate) struct CriError {
    /// gRPC status.
    pub(crate) code: Code,
    /// Its words.
    pub(crate) message: String,
}

impl CriError {
    /// Whether what was named is not there.
    #[must_use]
    pub(crate) fn is_not_found(&self) -> bool {
        self.code == Code::NotFound
    }
}

/// The runtime, and the images it keeps.
#[derive(Debug, Clone)]
pub(crate) struct Cri {
    channel: Channel,
}

impl Cri {
    /// Connects when first asked, and again after the runtime was away.
    pub(crate) fn new(socket: PathBuf) -> Self {
        // The name is for the protocol's form only; the connection is the socket's.
        let endpoint = Endpoint::from_static("http://containerd");
        let connector = service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        });
        Self { channel: endpoint.connect_with_connector_lazy(connector) }
    }

    async fn call<Q, A>(&self, method: &'static str, question: Q, patience: Duration) -> Result<A, CriError>
    where
        Q: prost::Message + Send + 'static,
        A: prost::Message + Default + Send + 'static,
    {
        let away = |detail: String| CriError { code: Code::Unavailable, message: detail };
        let mut grpc = Grpc::new(self.channel.clone()).max_decoding_message_size(LARGEST);
        let work = async {
            grpc.ready().await.map_err(|error| away(base::chain(&error)))?;
            let path = PathAndQuery::from_static(method);
            let answer = grpc.unary(tonic::Request::new(question), path, ProstCodec::<Q, A>::default()).await;
            answer
                .map(tonic::Response::into_inner)
                .map_err(|status| CriError { code: status.code(), message: status.message().to_owned() })
        };
        match tokio::time::timeout(patience, work).await {
            Ok(result) => result,
            Err(_) => Err(CriError {
                code: Code::DeadlineExceeded,
                message: format!("the runtime did not answer within {} s", patience.as_secs()),
            }),
        }
    }

    /// The runtime's name and version.
    pub(crate) async fn version(&self) -> Result<m::VersionAnswer, CriError> {
        let ask = m::VersionAsk { version: "v1".to_owned() };
        self.call("/runtime.v1.RuntimeService/Version", ask, USUAL).await
    }

    /// Whether runtime and network are ready.
    pub(crate) async fn conditions(&self) -> Result<Vec<m::RuntimeCondition>, CriError> {
        let answer: m::StatusAnswer =
            self.call("/runtime.v1.RuntimeService/Status", m::Empty {}, USUAL).await?;
        Ok(answer.status.unwrap_or_default().conditions)
    }

    /// Makes and starts a sandbox.
    pub(crate) async fn run_sandbox(&self, config: m::SandboxConfig) -> Result<String, CriError> {
        let ask = m::RunSandbox { config: Some(config) };
        let made: m::SandboxId =
            self.call("/runtime.v1.RuntimeService/RunPodSandbox", ask, USUAL * 4).await?;
        Ok(made.id)
    }

    /// Stops what is in a sandbox, and its network.
    pub(crate) async fn stop_sandbox(&self, id: &str) -> Result<(), CriError> {
        let ask = m::SandboxId { id: id.to_owned() };
        gone(self.call::<_, m::Empty>("/runtime.v1.RuntimeService/StopPodSandbox", ask, USUAL).await)
    }

    /// Removes a sandbox with all that is in it.
    pub(crate) async fn remove_sandbox(&self, id: &str) -> Result<(), CriError> {
        self.stop_sandbox(id).await?;
        let ask = m::SandboxId { id: id.to_owned() };
        gone(self.call::<_, m::Empty>("/runtime.v1.RuntimeService/RemovePodSandbox", ask, USUAL).await)
    }

    /// Sandboxes with this label; all of them without one.
    pub(crate) async fn sandboxes(&self, label: Option<(&str, &str)>) -> Result<Vec<m::Sandbox>, CriError> {
        let labels = label.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let ask = m::ListSandboxes { filter: Some(m::SandboxFilter { id: String::new(), labels }) };
        let answer: m::Sandboxes = self.call("/runtime.v1.RuntimeService/ListPodSandbox", ask, USUAL).await?;
        Ok(answer.items)
    }

    /// The address of a sandbox, empty where it has none.
    pub(crate) async fn address(&self, id: &str) -> Result<String, CriError> {
        let ask = m::SandboxId { id: id.to_owned() };
        let answer: m::SandboxStatusAnswer =
            self.call("/runtime.v1.RuntimeService/PodSandboxStatus", ask, USUAL).await?;
        Ok(answer.status.and_then(|status| status.network).map(|network| network.ip).unwrap_or_default())
    }

    /// Makes a container, not started.
    pub(crate) async fn create(&self, ask: m::CreateContainer) -> Result<String, CriError> {
        let made: m::ContainerId =
            self.call("/runtime.v1.RuntimeService/CreateContainer", ask, USUAL * 2).await?;
        Ok(made.id)
    }

    /// Starts a container.
    pub(crate) async fn start(&self, id: &str) -> Result<(), CriError> {
        let ask = m::ContainerId { id: id.to_owned() };
        self.call::<_, m::Empty>("/runtime.v1.RuntimeService/StartContainer", ask, USUAL * 2).await.map(drop)
    }

    /// Stops a container: asked first, killed after its grace.
    pub(crate) async fn stop(&self, id: &str, grace: Duration) -> Result<(), CriError> {
        let seconds = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
        let ask = m::StopContainer { id: id.to_owned(), timeout_seconds: seconds };
        let patience = grace.saturating_add(BEYOND_GRACE);
        gone(self.call::<_, m::Empty>("/runtime.v1.RuntimeService/StopContainer", ask, patience).await)
    }

    /// Removes a container that has ended.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), CriError> {
        let ask = m::ContainerId { id: id.to_owned() };
        gone(self.call::<_, m::Empty>("/runtime.v1.RuntimeService/RemoveContainer", ask, USUAL).await)
    }

    /// Containers with this label; all of them without one.
    pub(crate) async fn containers(
        &self,
        label: Option<(&str, &str)>,
    ) -> Result<Vec<m::Container>, CriError> {
        let labels = label.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let ask = m::ListContainers { filter: Some(m::Filter { id: String::new(), labels }) };
        let answer: m::Containers =
            self.call("/runtime.v1.RuntimeService/ListContainers", ask, USUAL).await?;
        Ok(answer.items)
    }

    /// All of a container.
    pub(crate) async fn status(&self, id: &str) -> Result<m::ContainerStatus, CriError> {
        let ask = m::ContainerId { id: id.to_owned() };
        let answer: m::ContainerStatusAnswer =
            self.call("/runtime.v1.RuntimeService/ContainerStatus", ask, USUAL).await?;
        Ok(answer.status.unwrap_or_default())
    }

    /// Runs a command in a container to its end.
    pub(crate) async fn exec(
        &self,
        id: &str,
        command: Vec<String>,
        limit: Duration,
    ) -> Result<m::ExecSyncAnswer, CriError> {
        let seconds = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
        let ask = m::ExecSync { id: id.to_owned(), command, timeout_seconds: seconds };
        let patience = limit.saturating_add(BEYOND_GRACE);
        self.call("/runtime.v1.RuntimeService/ExecSync", ask, patience).await
    }

    /// Where a command in a container can be run and talked to.
    pub(crate) async fn exec_url(&self, ask: m::Exec) -> Result<String, CriError> {
        let answer: m::Url = self.call("/runtime.v1.RuntimeService/Exec", ask, USUAL).await?;
        Ok(answer.url)
    }

    /// Where a container's own process can be talked to.
    pub(crate) async fn attach_url(&self, ask: m::Attach) -> Result<String, CriError> {
        let answer: m::Url = self.call("/runtime.v1.RuntimeService/Attach", ask, USUAL).await?;
        Ok(answer.url)
    }

    /// Where a pod's ports can be reached.
    pub(crate) async fn forward_url(&self, ask: m::PortForward) -> Result<String, CriError> {
        let answer: m::Url = self.call("/runtime.v1.RuntimeService/PortForward", ask, USUAL).await?;
        Ok(answer.url)
    }

    /// What every running container uses.
    pub(crate) async fn stats(&self) -> Result<Vec<m::ContainerStats>, CriError> {
        let method = "/runtime.v1.RuntimeService/ListContainerStats";
        let answer: m::AllStats = self.call(method, m::ListStats {}, USUAL).await?;
        Ok(answer.items)
    }

    /// An image that is here.
    pub(crate) async fn image(&self, name: &str) -> Result<Option<m::Image>, CriError> {
        let ask = m::ImageRequest { image: Some(m::ImageSpec { image: name.to_owned() }) };
        let answer: m::ImageAnswer = self.call("/runtime.v1.ImageService/ImageStatus", ask, USUAL).await?;
        Ok(answer.image)
    }

    /// All images that are here.
    pub(crate) async fn images(&self) -> Result<Vec<m::Image>, CriError> {
        let answer: m::Images = self.call("/runtime.v1.ImageService/ListImages", m::Empty {}, USUAL).await?;
        Ok(answer.images)
    }

    /// Pulls an image.
    pub(crate) async fn pull(&self, ask: m::PullImage) -> Result<String, CriError> {
        let answer: m::PullAnswer = self.call("/runtime.v1.ImageService/PullImage", ask, PULL).await?;
        Ok(answer.image_ref)
    }
}

/// What is not there needs no end.
fn gone(result: Result<m::Empty, CriError>) -> Result<(), CriError> {
    match result {
        Err(error) if error.is_not_found() => Ok(()),
        result => result.map(drop),
    }
}
