//! What is taken as a kubeconfig, and what is not.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::*;
use crate::access::testing::Authority;

const SECRET: &str = "hunter2-hunter2";

fn good() -> Value {
    let authority = Authority::new();
    let client = authority.client("admin", "system:masters");
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c", "preferences": {},
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "own"}}],
        "clusters": [{"name": "other", "cluster": {}}, {"name": "k", "cluster": {
            "server": "https://127.0.0.1:6443",
            "tls-server-name": "kubernetes",
            "certificate-authority-data": STANDARD.encode(&authority.certificate),
        }}],
        "users": [{"name": "u", "user": {
            "client-certificate-data": STANDARD.encode(&client.certificate),
            "client-key-data": STANDARD.encode(&client.key),
        }}],
    })
}

fn read(value: &Value) -> Result<Kube, KubeconfigError> {
    Kube::from_kubeconfig(&value.to_string())
}

#[test]
fn a_good_one_is_taken_and_shows_nothing_but_the_address() {
    let kube = read(&good()).unwrap();
    assert_eq!(
        format!("{kube:?}"),
        r#"Kube { server: "127.0.0.1:6443", .. }"#
    );
    assert_eq!(kube.access.namespace, "own");
    let mut with_token = good();
    with_token["users"][0]["user"] = json!({"token": SECRET});
    let kube = read(&with_token).unwrap();
    assert!(!format!("{:?} {kube:?}", kube.access.authorization).contains("hunter2"));
}

#[test]
fn paths_programs_and_whatever_is_not_inline_are_refused_by_their_field() {
    let cluster = "/clusters/1/cluster";
    let user = "/users/0/user";
    let rows = [
        (cluster, "certificate-authority", json!("/etc/ca.crt")),
        (cluster, "insecure-skip-tls-verify", json!(true)),
        (cluster, "proxy-url", json!("http://proxy")),
        (cluster, "server", json!("http://127.0.0.1:6443")),
        (cluster, "server", json!("https://a@127.0.0.1:6443")),
        (cluster, "server", json!("https://127.0.0.1:6443/prefix")),
        (cluster, "server", json!(7)),
        (cluster, "tls-server-name", json!("a b")),
        (cluster, "certificate-authority-data", json!("@@")),
        (
            cluster,
            "certificate-authority-data",
            json!(STANDARD.encode("none")),
        ),
        (cluster, "certificate-authority-data", Value::Null),
        (user, "client-certificate", json!("/etc/a")),
        (user, "client-key", json!("/etc/a")),
        (user, "tokenFile", json!("/etc/a")),
        (user, "exec", json!({"command": "sh"})),
        (user, "auth-provider", json!({"name": "x"})),
        (user, "username", json!("root")),
        (user, "password", json!(SECRET)),
        (user, "as", json!("root")),
        (user, "client-key-data", json!(SECRET)),
        (user, "client-key-data", json!(STANDARD.encode(SECRET))),
        (user, "client-key-data", Value::Null),
        (user, "client-certificate-data", Value::Null),
        (user, "token", json!("a\nb")),
        (user, "token", json!([SECRET])),
        (user, "extra", json!(SECRET)),
        ("", "current-context", json!("missing")),
        ("", "current-context", Value::Null),
        ("", "kind", json!("Pod")),
        ("/contexts/0/context", "user", json!("missing")),
    ];
    for (at, field, value) in rows {
        let mut config = good();
        let told = value.to_string();
        config.pointer_mut(at).unwrap()[field] = value;
        let error = read(&config).expect_err(&format!("{at}.{field}"));
        let text = format!("{error} {error:?}");
        assert!(error.field.ends_with(field), "{at}.{field}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(
            !error.problem.is_empty() && !text.contains("/etc/"),
            "{told}: {text}"
        );
    }
    let mut nobody = good();
    nobody["users"][0]["user"] = json!({});
    assert_eq!(read(&nobody).unwrap_err().field, "users[0].user.token");
}

#[test]
fn another_key_and_what_is_no_document_are_refused_without_a_word_of_it() {
    let mut other = good();
    let key = Authority::new().client("a", "b").key;
    other["users"][0]["user"]["client-key-data"] = json!(STANDARD.encode(key));
    assert_eq!(
        read(&other).unwrap_err().field,
        "users[0].user.client-key-data"
    );
    for text in [
        "",
        "- a",
        "a: {",
        "users: hunter2\nusers: hunter2\n",
        "a: *hunter2",
        "hunter2",
        "a: 1\n---\nb: 2\n",
    ] {
        let error = Kube::from_kubeconfig(text).unwrap_err();
        let shown = format!("{error}");
        assert!(!shown.is_empty(), "{text}");
        if !text.contains('*') {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}
