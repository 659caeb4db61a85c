//! What is there and does not do.

use std::sync::LazyLock;

use super::*;
use crate::certificates::{Authority, Request};

/// A cluster that all tests here may read.
static OTHER: LazyLock<Scratch> = LazyLock::new(|| {
    let scratch = Scratch::new();
    scratch.render("");
    scratch
});

fn rendered() -> Scratch {
    let scratch = Scratch::new();
    scratch.render("");
    scratch
}

fn only(unfit: Vec<(String, String)>) -> (String, String) {
    match <[_; 1]>::try_from(unfit) {
        Ok([one]) => one,
        Err(many) => panic!("{many:?}"),
    }
}

#[test]
fn each_file_that_does_not_fit_is_named_with_a_remedy() {
    let scratch = rendered();
    let pki = |name: &str| format!("pki/{name}");
    let other = |name: &str| OTHER.read(&pki(name));
    let own = |name: &str| scratch.read(&pki(name));
    let torn = |text: String| text[..text.len() / 2].to_owned();
    for (file, text, unfit, message) in [
        (
            "admin.crt",
            torn(own("admin.crt")),
            "admin.crt",
            "no certificate in PEM form; remove admin.crt and admin.key",
        ),
        ("admin.crt", String::new(), "admin.crt", "no certificate"),
        (
            "admin.crt",
            other("admin.crt"),
            "admin.crt",
            "not signed by the authority",
        ),
        (
            "admin.crt",
            own("front-proxy-client.crt"),
            "admin.crt",
            "not signed by",
        ),
        (
            "admin.crt",
            own("handoff.crt"),
            "admin.crt",
            "Common Name is \"seedpod:handoff\"",
        ),
        (
            "admin.key",
            other("admin.key"),
            "admin.key",
            "not the key of the certificate",
        ),
        (
            "admin.key",
            torn(own("admin.key")),
            "admin.key",
            "no private key",
        ),
        (
            "etcd/peer/one.crt",
            own("etcd/server/one.crt"),
            "etcd/peer/one.key",
            "not the key",
        ),
        (
            "ca.key",
            other("ca.key"),
            "ca.key",
            "bring ca.crt and ca.key back",
        ),
        ("ca.key", "nonsense".to_owned(), "ca.key", "bring ca.crt"),
        (
            "ca.crt",
            own("admin.crt"),
            "ca.crt",
            "not the certificate of a CA",
        ),
        (
            "sa.pub",
            other("sa.pub"),
            "sa.pub",
            "remove it to have it made from sa.key",
        ),
        (
            "sa.key",
            "nonsense".to_owned(),
            "sa.key",
            "remove it and sa.pub",
        ),
    ] {
        let before = own(file);
        scratch.write(&pki(file), &text);
        let (found, said) = only(scratch.unfit(""));
        assert_eq!(found, unfit, "{said}");
        assert!(said.contains(message), "{file}: {said}");
        assert!(!said.contains("nonsense"), "no content is told: {said}");
        scratch.write(&pki(file), &before);
    }
    for (gone, message) in [
        (
            "admin.key",
            "it is missing; bring it back, or remove admin.crt",
        ),
        ("sa.key", "remove sa.pub"),
    ] {
        let before = own(gone);
        scratch.remove(&[&pki(gone)]);
        let (found, said) = only(scratch.unfit(""));
        assert_eq!(found, gone);
        assert!(said.contains(message), "{said}");
        scratch.write(&pki(gone), &before);
    }
    assert_eq!(made(&scratch.render("")), [""; 0]);
}

#[test]
fn everything_that_does_not_fit_is_told_at_once() {
    let scratch = rendered();
    // Another authority: everything that the old one signed is of no use.
    for name in ["pki/ca.crt", "pki/ca.key"] {
        scratch.write(name, &OTHER.read(name));
    }
    scratch.write("pki/sa.key", "");
    let unfit = scratch.unfit("");
    let count = |text: &str| unfit.iter().filter(|(_, said)| said.contains(text)).count();
    assert_eq!(count("not signed by the authority"), 9, "{unfit:?}");
    assert_eq!(unfit.len(), 10);
    let error = scratch.try_render("").expect_err("unfit").to_string();
    assert!(error.starts_with("10 files do not fit:\n  "), "{error}");
}

#[test]
fn names_that_are_not_covered_are_told() {
    let scratch = rendered();
    let unfit = scratch.unfit("networking: {serviceSubnet: 10.97.0.0/16, dnsDomain: new.local}\n");
    assert_eq!(unfit.len(), 2, "{unfit:?}");
    for (file, said) in unfit {
        assert!(file.starts_with("apiserver"), "{file}");
        assert!(
            said.starts_with("it is not for kubernetes.default.svc.new.local, 10.97.0.1; remove "),
            "{said}"
        );
    }
    scratch.remove(&[
        "pki/apiserver/one.crt",
        "pki/apiserver/one.key",
        "pki/apiserver-self-hosted/one.crt",
        "pki/apiserver-self-hosted/one.key",
    ]);
    let rendered =
        scratch.render("networking: {serviceSubnet: 10.97.0.0/16, dnsDomain: new.local}\n");
    assert_eq!(rendered.written["pki/apiserver/one.crt"], Written::Made);
    assert_eq!(rendered.written["pki/ca.crt"], Written::Kept);
}

#[test]
fn usages_are_checked() {
    let scratch = rendered();
    let authority = Authority::read(&scratch.read("pki/ca.crt"), &scratch.read("pki/ca.key"));
    let authority = authority.expect("the authority");
    let key = scratch.read("pki/scheduler.key");
    let server = Request::server("system:kube-scheduler", 10);
    let issued = authority.issue_for_key(&server, &key).expect("issued");
    scratch.write("pki/scheduler.crt", &issued.certificate);
    let (_, said) = only(scratch.unfit(""));
    assert!(said.contains("clientAuth"), "{said}");

    let client = Request::client("kubernetes-admin", 10).organization("users");
    let key = scratch.read("pki/admin.key");
    let issued = authority.issue_for_key(&client, &key).expect("issued");
    scratch.write("pki/admin.crt", &issued.certificate);
    let unfit = scratch.unfit("");
    assert!(
        unfit
            .iter()
            .any(|(_, said)| said.contains("Organization is not \"system:masters\"")),
        "{unfit:?}"
    );
}

#[test]
fn what_has_expired_is_refused_and_what_soon_will_is_warned_about() {
    let scratch = rendered();
    let (certificate, key) = (scratch.read("pki/ca.crt"), scratch.read("pki/ca.key"));
    let authority = Authority::read(&certificate, &key).expect("the authority");
    let request = |days| Request::client("system:kube-scheduler", days);
    let scheduler = scratch.read("pki/scheduler.key");
    let put = |days| {
        let issued = authority
            .issue_for_key(&request(days), &scheduler)
            .expect("issued");
        scratch.write("pki/scheduler.crt", &issued.certificate);
    };
    put(20);
    let warnings = scratch.render("").warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("pki/scheduler.crt: it expires in "),
        "{warnings:?}"
    );
    // Valid from an hour ago until now.
    put(0);
    let (file, said) = only(scratch.unfit(""));
    assert_eq!(file, "scheduler.crt");
    assert!(said.contains("it has expired on "), "{said}");
    put(365);
    let (_, issued) = Authority::create_from_key("kubernetes", 0, &key).expect("made");
    scratch.write("pki/ca.crt", &issued.certificate);
    let unfit = scratch.unfit("");
    assert!(
        unfit
            .iter()
            .any(|(file, said)| file == "ca.crt" && said.contains("expired")),
        "{unfit:?}"
    );
}
