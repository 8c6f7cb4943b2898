//! The agent: registers its machine as a Node, runs the pods bound to it through CRI, and
//! serves the kubelet's HTTP API.
