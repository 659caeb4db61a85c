//! What holds for every input.

#[path = "properties/objects.rs"]
mod objects;

use proptest::prelude::*;
use seedpod_manifest::{
    BundleName, FieldValidation, Materials, Options, Secrets, Side, Stamp, check, diff,
    is_rendering_of, nudge, read_foreign, render, to_yaml, unrender,
};
use serde_json::{Map, Value, json};

const SEEDS: [&str; 6] = [
    include_str!("../testdata/good/etcd.yaml"),
    include_str!("../testdata/good/kube-apiserver.yaml"),
    include_str!("../testdata/good/control-plane.yaml"),
    include_str!("../testdata/good/everything.yaml"),
    include_str!("../testdata/good/objects.yaml"),
    include_str!("../testdata/bad-manifests.yaml"),
];

fn options(field_validation: FieldValidation) -> Options {
    Options {
        allow_secret_env: false,
        node: "node-1".parse().unwrap(),
        max_pods: 64,
        max_bytes: 4 << 20,
        field_validation,
    }
}

fn rendered(pod: &seedpod_manifest::Pod) -> String {
    let bundle: BundleName = "b".parse().unwrap();
    render(
        pod,
        &Stamp {
            bundle: &bundle,
            revision: 1,
            uid: "uid-1",
            digest: pod.digest(),
            volumes: "",
        },
        &Materials::default(),
    )
}

/// Everything that can be done with a text; the answers do not matter, but that there are some.
fn use_text(text: &str) {
    read_foreign(text.as_bytes());
    unrender(text);
    is_rendering_of(text.as_bytes(), text);
    nudge(text, 1);
    for validation in [FieldValidation::Strict, FieldValidation::Warn] {
        match check(&[text], &options(validation)) {
            Ok(checked) => {
                for pod in &checked.pods {
                    let file = rendered(pod);
                    assert_eq!(
                        unrender(&file).map(|back| back.digest()),
                        Some(pod.digest())
                    );
                    assert!(!diff(None, Some(Side { pod, objects: &[] })).is_empty());
                    let shown = to_yaml(pod, Secrets::Shown);
                    let again = check(&[&shown], &options(validation));
                    let again = again.unwrap_or_else(|it| panic!("{it:?}\n{shown}"));
                    assert_eq!(again.pods[0].digest(), pod.digest(), "{shown}");
                }
                for object in checked.objects.iter() {
                    objects::read_back(object, validation);
                }
            }
            Err(violations) => {
                assert!(!violations.is_empty());
                for violation in violations {
                    assert!(violation.field.starts_with("manifests"), "{violation:?}");
                    assert!(violation.description.len() < 1000, "{violation:?}");
                }
            }
        }
    }
}

/// Pieces that mean something to a reader of YAML or JSON.
fn piece() -> impl Strategy<Value = String> {
    let marks = [
        "\n",
        "\n  ",
        "\n- ",
        "\t",
        " ",
        ": ",
        ":",
        "- ",
        "-",
        "? ",
        "[",
        "]",
        "{",
        "}",
        ",",
        "&a ",
        "*a ",
        "<<: ",
        "!!str ",
        "!x ",
        "!<tag:yaml.org,2002:int> ",
        "|\n",
        ">-\n",
        "\"",
        "'",
        "\\",
        "\\u",
        "\\ud800",
        "#",
        "---\n",
        "...\n",
        "%YAML 1.1\n",
        "%TAG ! x\n",
        "\u{feff}",
        "\0",
        "\r",
        "\r\n",
        "@",
        "`",
        "0644",
        ".nan",
        "1e999",
        "on",
        "~",
        "null",
        "true",
        "apiVersion",
        "v1",
        "kind",
        "Pod",
        "Secret",
        "data",
        "List",
        "items",
        "metadata",
        "name",
        "spec",
        "containers",
        "image",
        "ports",
        "é",
        "𝄞",
    ];
    prop_oneof![4 => proptest::sample::select(marks.to_vec()).prop_map(str::to_owned), 1 => ".{0,8}"]
}

/// A good manifest with some bytes cut, doubled or replaced.
fn mutated() -> impl Strategy<Value = String> {
    let change = (any::<prop::sample::Index>(), 0_usize..40, piece(), 0_u8..3);
    (
        proptest::sample::select(SEEDS.to_vec()),
        prop::collection::vec(change, 1..6),
    )
        .prop_map(|(seed, changes)| {
            let mut chars: Vec<char> = seed.chars().collect();
            for (at, length, piece, how) in changes {
                if chars.is_empty() {
                    break;
                }
                let start = at.index(chars.len());
                let end = (start + length).min(chars.len());
                match how {
                    0 => drop(chars.drain(start..end)),
                    1 => {
                        let copy = chars[start..end].to_vec();
                        chars.splice(start..start, copy);
                    }
                    _ => drop(chars.splice(start..end, piece.chars())),
                }
            }
            chars.into_iter().collect()
        })
}

/// A text that YAML may take for something else when it is written without quotes.
fn text() -> impl Strategy<Value = String> {
    let traps = [
        "on", "0644", "1e3", "~", "null", "", " ", "- a", "a: b", "#", "yes", "0x1f", ".5", "a\nb",
        "'", "\"", "*a", "&a",
    ];
    prop_oneof![
        proptest::sample::select(traps.to_vec()).prop_map(str::to_owned),
        "[ -~äß𝄞\n\t]{0,20}"
    ]
}

fn labels() -> impl Strategy<Value = Map<String, Value>> {
    let pair = ("[a-z][a-z0-9]{0,8}", "[a-z0-9]([a-z0-9._-]{0,8}[a-z0-9])?");
    prop::collection::vec(pair, 0..4).prop_map(|pairs| {
        pairs
            .into_iter()
            .map(|(key, value)| (key, Value::from(value)))
            .collect()
    })
}

/// A pod that is valid, with values that are hard to write.
fn valid_pod() -> impl Strategy<Value = Value> {
    let container = (
        prop::collection::vec(text(), 0..4),
        prop::collection::vec(("[A-Z][A-Z0-9_]{0,6}", text()), 0..4),
        prop::option::of(1_u16..),
    );
    (
        "[a-z]([-a-z0-9]{0,20}[a-z0-9])?",
        prop::option::of("[a-z]([-a-z0-9]{0,20}[a-z0-9])?"),
        labels(),
        text(),
        prop::collection::vec(container, 1..4),
        any::<bool>(),
    )
        .prop_map(|(name, namespace, labels, note, containers, host_network)| {
            let containers: Vec<Value> = containers
                .into_iter()
                .enumerate()
                .map(|(index, (args, env, port))| {
                    let env: Vec<_> =
                        env.into_iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
                    // Ports of one pod must differ; the index keeps them apart.
                    let ports: Vec<_> = port
                        .into_iter()
                        .map(|port| json!({"containerPort": (port / 4).max(1) * 4 - 4 + u16::try_from(index).unwrap() + 1}))
                        .collect();
                    json!({"name": format!("c{index}"), "image": "a", "args": args, "env": env, "ports": ports})
                })
                .collect();
            json!({
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": namespace, "labels": labels, "annotations": {"note": note}},
                "spec": {"hostNetwork": host_network, "containers": containers},
            })
        })
}

proptest! {
    #[test]
    fn any_text_gets_an_answer(text in prop::collection::vec(piece(), 0..60).prop_map(|pieces| pieces.concat())) {
        use_text(&text);
    }

    #[test]
    fn any_bytes_of_a_foreign_file_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_foreign(&bytes);
        is_rendering_of(&bytes, "{}");
    }

    #[test]
    fn a_damaged_manifest_gets_an_answer(text in mutated()) {
        use_text(&text);
    }

    #[test]
    fn yaml_and_json_of_the_same_pod_have_the_same_digest_and_rendering(value in valid_pod()) {
        let options = options(FieldValidation::Strict);
        let json = check(&[value.to_string()], &options).unwrap().pods.remove(0);
        let pretty = check(&[format!("{value:#}")], &options).unwrap().pods.remove(0);
        let yaml = serde_saphyr::to_string(&value).unwrap();
        let yaml = check(&[&yaml], &options).map_err(|v| format!("{v:#?}\n{yaml}")).unwrap().pods.remove(0);
        prop_assert_eq!(json.value(), yaml.value());
        prop_assert_eq!(json.digest(), yaml.digest());
        prop_assert_eq!(json.digest(), pretty.digest());
        prop_assert_eq!(rendered(&json), rendered(&yaml));
    }

    #[test]
    fn a_rendering_is_read_back_by_every_reader(value in valid_pod(), count in any::<u64>()) {
        let options = options(FieldValidation::Strict);
        let pod = check(&[value.to_string()], &options).unwrap().pods.remove(0);
        let file = rendered(&pod);
        let nudged = nudge(&file, count);
        for file in [&file, &nudged] {
            let back = unrender(file).unwrap();
            prop_assert_eq!(back.value(), pod.value());
            prop_assert_eq!(back.digest(), pod.digest());
            let again = check(&[back.value().to_string()], &options).unwrap().pods.remove(0);
            prop_assert_eq!(again.digest(), pod.digest());
            let foreign = read_foreign(file.as_bytes()).unwrap();
            prop_assert_eq!(&foreign.key, pod.key());
            prop_assert_eq!(foreign.uid.as_deref(), Some("uid-1"));
            prop_assert_eq!(&foreign.host_ports, pod.host_ports());
        }
        prop_assert!(is_rendering_of(nudged.as_bytes(), &file));
    }
}

#[test]
fn hostile_texts_get_an_answer_soon() {
    let repeated = |text: &str| text.repeat((1 << 18) / text.len());
    let mut nested_anchors = String::new();
    for index in 0..2000 {
        nested_anchors.push_str(&format!("&a{index} [ "));
    }
    let mut growing_aliases = String::from("a0: &a0 [x]\n");
    for index in 1..5000 {
        growing_aliases.push_str(&format!("a{index}: &a{index} [*a{}]\n", index - 1));
    }
    let long = "x".repeat(1 << 18);
    for text in [
        repeated("["),
        repeated("{"),
        repeated("- "),
        repeated("? "),
        repeated("a: "),
        repeated("[]"),
        repeated("[],\n"),
        repeated("---\n"),
        repeated("- a\n"),
        repeated("{a: "),
        repeated("\"a\": "),
        repeated("!"),
        repeated("!a "),
        repeated("&a "),
        repeated("*a "),
        repeated("#"),
        repeated("# a\n"),
        repeated("%"),
        repeated("%TAG ! a\n"),
        repeated("\t"),
        repeated("\n"),
        repeated(" "),
        repeated("'"),
        repeated("\""),
        repeated("\"\\u0041"),
        repeated("|\n"),
        repeated("a\n\n"),
        repeated("a: b\n"),
        repeated(": "),
        repeated(", "),
        repeated("[a, "),
        repeated("? [a\n"),
        repeated("é"),
        format!("{{\"a\": {}", repeated("[")),
        format!("{{\"a\": [{}", repeated("0,")),
        format!("{{{}", repeated("\"a\":1,")),
        (0..20_000).map(|n| format!("k{n}: 1\n")).collect(),
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{{}}}\n",
            (0..15_000)
                .map(|n| format!("k{n}: 1, "))
                .collect::<String>()
        ),
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec: {{containers: [{}]}}\n",
            repeated("1, ")
        ),
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\ndata: {{{}}}\n",
            (0..15_000)
                .map(|n| format!("k{n}: 1, a/{n}: b, "))
                .collect::<String>()
        ),
        "apiVersion: v1\nkind: Secret\nmetadata: {name: a}\ndata: {k: 1}\n---\n".repeat(1000),
        nested_anchors,
        growing_aliases,
        format!("a: &a {long}\nb: [{}]\n", "*a, ".repeat(10_000)),
        long,
    ] {
        let start = std::time::Instant::now();
        use_text(&text);
        // In a debug build, on a busy machine: it is the quadratic that is to be caught.
        let took = start.elapsed();
        assert!(
            took.as_secs() < 30,
            "{took:?} for {:?}",
            &text.chars().take(40).collect::<String>()
        );
    }
}
