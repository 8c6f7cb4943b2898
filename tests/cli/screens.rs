//! What each command shows where there is no terminal.

use crate::endpoint::Endpoint;
use crate::run::Place;

#[test]
fn a_fresh_account_is_planned_in_words() {
    let endpoint = Endpoint::start();
    let place = Place::at(&endpoint);
    insta::assert_snapshot!(place.screen(&["plan"]));
    assert!(endpoint.changes().is_empty());
}
