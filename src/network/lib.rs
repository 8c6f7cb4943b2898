//! The pod network of a machine: links, routes, firewall and DNS sockets, as decided by `proxy`.
