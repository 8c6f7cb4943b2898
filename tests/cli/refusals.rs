//! What is refused before AWS is asked or anything is made: mistakes in
//! cluster.yaml, what the region does not have, and endpoints that are not AWS's.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, ipproto};

use crate::endpoint::{Endpoint, Refusal};
use crate::http::{Response, Server};
use crate::run::{CONFIG, Place};

#[test]
fn every_mistake_of_a_file_is_shown_with_line_and_remedy() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    place.write(
        "cluster.yaml",
        "version: 1\nname: My Cluster\nregion: us-east-1\naccess:\n  ssh: 10.0.0.0/8\nnetwork:\n  cidr: 10.20.0.0/30\n  podCIDR: 10.244.0.0/16\nmasters:\n  count: 2\nworkers:\n  - name: general\n    count: two\n",
    );
    insta::assert_snapshot!(place.screen(&["plan"]));
    place.write("cluster.yaml", "version: 1\nname: [demo\n");
    insta::assert_snapshot!(place.screen(&["up", "--yes"]));
    assert_eq!(endpoint.count("GetCallerIdentity"), 0);
}

#[test]
fn a_missing_file_is_named_with_what_writes_one() {
    let place = Place::empty();
    for command in ["plan", "up", "status", "pki"] {
        let run = place.run(&[command]);
        assert_eq!(run.code, Some(1));
        assert_eq!(
            run.err,
            "error: cluster.yaml does not exist; `cluster init` writes one, --file names another\n"
        );
    }
}

/// Plans after a change of the account, and gives the screen.
fn planned(change: impl FnOnce(&Endpoint), config: &str) -> String {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    place.write("cluster.yaml", &format!("{CONFIG}{config}"));
    change(&endpoint);
    place.screen(&["plan"])
}

#[test]
fn what_the_region_does_not_have_is_named_with_its_field() {
    let no_change = |_: &Endpoint| {};
    insta::assert_snapshot!("no_image", planned(|e| e.account(|a| a.image = false), ""));
    insta::assert_snapshot!("no_type", planned(no_change, "masters: {type: t3.smal}\n"));
    insta::assert_snapshot!("no_zone", planned(no_change, "network: {zones: [us-east-1f]}\n"));
    insta::assert_snapshot!("small_volume", planned(no_change, "masters: {volume: {sizeGiB: 4}}\n"));
    let arm = "image: {architecture: arm64}\nmasters: {type: t4g.small}\nworkers: []\n";
    let screen = planned(no_change, arm);
    assert!(
        screen.contains("no static binary for arm64 nodes") && screen.contains("`make dist`"),
        "{screen}"
    );
    let not_found =
        Refusal::new("InvalidAMIID.NotFound", "The image id '[ami-0123456789abcdef1]' does not exist");
    let image = "image: {id: ami-0123456789abcdef1}\n";
    insta::assert_snapshot!("unknown_image", planned(|e| e.refuse("DescribeImages", not_found), image));
}

#[test]
fn a_node_binary_that_is_none_is_refused() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    insta::assert_snapshot!(place.screen(&["plan", "--node-binary", "cluster.yaml"]));
}

#[test]
fn public_addresses_of_a_stand_in_are_never_dialled() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    place.write("cluster.yaml", &CONFIG.replace("{ssh:", "{via: public, ssh:"));
    insta::assert_snapshot!(place.screen(&["plan"]));
}

#[test]
fn endpoints_that_do_not_answer_as_aws_does_are_named_within_bounds() {
    let page = Server::start(|_| {
        let page = "<html><body>Bad Gateway: ask the network team</body></html>";
        Response::Other(502, "text/html", page.to_owned())
    });
    let (_full, full) = full_listener();
    let urls = [
        ("nobody_listens", "http://127.0.0.1:1".to_owned()),
        ("not_aws", page.url()),
        ("full", full),
        ("no_url", "127.0.0.1:4566".to_owned()),
    ];
    // They mostly wait.
    let screens = std::thread::scope(|scope| {
        let runs = urls.map(|(name, url)| (name, scope.spawn(move || planned_at(&url))));
        runs.map(|(name, run)| (name, run.join().expect("no thread panicked")))
    });
    for (name, (screen, took)) in screens {
        assert!(took < Duration::from_secs(40), "{name} took {took:?}");
        insta::assert_snapshot!(format!("endpoint_{name}"), screen);
    }
}

/// A plan on an endpoint of any kind: its screen, and how long it took.
fn planned_at(url: &str) -> (String, Duration) {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint).with("AWS_ENDPOINT_URL", url);
    let run = place.run(&["plan"]);
    (place.tidy(&run.screen()), run.took)
}

/// A listener whose queue is full: further connections are neither taken nor refused.
fn full_listener() -> (Vec<OwnedFd>, String) {
    let listener =
        rustix::net::socket(AddressFamily::INET, SocketType::STREAM, Some(ipproto::TCP)).expect("a socket");
    let any = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    rustix::net::bind(&listener, &any).expect("a loopback port");
    rustix::net::listen(&listener, 0).expect("it listens");
    let listener = std::net::TcpListener::from(listener);
    let address = listener.local_addr().expect("its address");
    let mut held = Vec::new();
    // The queue holds one or two; the first that has to wait shows that it is full.
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        held.push(OwnedFd::from(stream));
        assert!(held.len() < 8, "the queue never fills");
    }
    held.push(listener.into());
    (held, format!("http://{address}"))
}
