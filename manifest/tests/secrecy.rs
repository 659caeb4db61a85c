//! Nothing that is told of a bundle holds what stands in a Secret.

use seedpod_manifest::{FieldValidation, ObjectKind, Options, Secrets, check};

const POD: &str =
    "{apiVersion: v1, kind: Pod, metadata: {name: web}, spec: {containers: [{name: a, image: a}]}}";

fn secret(rest: &str) -> String {
    format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: a}}\n{rest}")
}

fn config_map(rest: &str) -> String {
    secret(rest).replace("Secret", "ConfigMap")
}

fn options(field_validation: FieldValidation) -> Options {
    Options {
        allow_secret_env: false,
        node: "node-1".parse().unwrap(),
        max_pods: 64,
        max_bytes: 4 << 20,
        field_validation,
    }
}

/// In base64: `czNjcjN0LW1hcmtlcg==`.
const MARKER: &str = "s3cr3t-marker";
const MARKER_IN_BASE64: &str = "czNjcjN0LW1hcmtlc";

#[test]
fn nothing_tells_what_a_secret_holds() {
    let mut texts: Vec<String> = [
        "stringData: {k: MARKER}\n",
        "data: {k: BASE64}\n",
        "stringdata: {k: MARKER}\n",
        "kind: Secret\nstringData: {k: MARKER}\n",
        "stringData: {k: MARKER, k: MARKER}\n",
        "data: {k: MARKER}\n",
        "data: {k: BASE64=}\n",
        "data: {k: \"MARKER\\n\"}\n",
        "data: MARKER\n",
        "stringData: MARKER\n",
        "stringData: [MARKER]\n",
        "stringData: {k: [MARKER]}\n",
        "stringData: {k: {MARKER: a}}\n",
        "stringData: {k: {a: MARKER}}\n",
        "stringData: {k: {MARKER: a, MARKER: b}}\n",
        "stringData: {k: {a: {on: MARKER}}}\n",
        "stringData: {a/b: MARKER}\n",
        "stringData: {k:MARKER}\n",
        "stringData: {k=MARKER}\n",
        "stringData: {on: MARKER}\n",
        "stringData: {? [MARKER] : MARKER}\n",
        "stringData: {<<: MARKER}\n",
        "stringData: {k: !MARKER a}\n",
        "stringData: {k: !MARKER [a]}\n",
        "stringData: {k: !!MARKER a}\n",
        "stringData: {k: !!int MARKER}\n",
        "stringData: {k: !!binary MARKER}\n",
        "stringData: {k: !<MARKER> a}\n",
        "stringData: {k: &MARKER}\n",
        "stringData: {k: *MARKER}\n",
        "stringData: {k: @MARKER}\n",
        "stringData: {k: `MARKER}\n",
        "stringData: {k: %MARKER}\n",
        "stringData: {k: [MARKER}\n",
        "stringData: {k: \"MARKER\n",
        "stringData: {k: \"\\MARKER\"}\n",
        "stringData: {k: 'MARKER\n",
        "stringData:\n  k: MARKER: MARKER\n",
        "stringData:\n  k: MARKER\n MARKER\n",
        "stringData:\n  k: |MARKER\n",
        "stringData:\n\tk: MARKER\n",
        "stringData:\n  k: \"a\u{7}MARKER\"\n",
        "type: MARKER\nstringData: {k: MARKER}\n",
        "type: [MARKER]\n",
        "immutable: MARKER\n",
        "immutable: {a: MARKER}\n",
        "type: kubernetes.io/tls\nstringData: {tls.crt: MARKER}\n",
        "type: kubernetes.io/ssh-auth\nstringData: {k: MARKER}\n",
        "type: kubernetes.io/basic-auth\nstringData: {k: MARKER}\n",
        "type: kubernetes.io/service-account-token\nstringData: {token: MARKER}\n",
        "type: kubernetes.io/dockercfg\nstringData: {.dockercfg: MARKER}\n",
        "type: kubernetes.io/dockerconfigjson\nstringData: {k: MARKER}\n",
        "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: '{\"MARKER\": MARKER}'}\n",
        "type: kubernetes.io/dockerconfigjson\nstringData: {.dockerconfigjson: '\"MARKER\"'}\n",
    ]
    .iter()
    .flat_map(|rest| [secret(rest), config_map(&rest.replace("stringData", "data"))])
    .collect();
    texts.push(secret("stringData: {k: MARKER}\n").replace(
        "name: a",
        "name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: MARKER}",
    ));
    texts.push(secret("stringData: {k: MARKER}\n").replace("name: a", "name: [a]"));
    texts.push(secret(&format!(
        "stringData: {{k: {}}}\n",
        "MARKER".repeat(200_000)
    )));
    texts.push(format!(
        "{}---\n{}",
        secret("stringData: {k: MARKER}\n"),
        secret("stringData: {k: MARKER}\n")
    ));
    let in_json = [
        r#""k": MARKER"#,
        r#""k": "MARKER"#,
        r#""k": "\MARKER""#,
        r#""k": "\uMARKER""#,
        r#""k": 0MARKER"#,
        r#""k": trueMARKER"#,
        r#""k": "a" "MARKER""#,
        "\"k\": \"MARKER\n\"",
    ];
    texts.extend(in_json.iter().map(|pair| {
        format!(r#"{{"apiVersion":"v1","kind":"Secret","metadata":{{"name":"a"}},"stringData":{{{pair}}}}}"#)
    }));
    let (mut accepted, mut refused) = (0, 0);
    for text in texts {
        let text = text
            .replace("MARKER", MARKER)
            .replace("BASE64", &format!("{MARKER_IN_BASE64}g=="));
        for validation in [FieldValidation::Strict, FieldValidation::Warn] {
            let told = match check(&[POD, &text], &options(validation)) {
                Ok(checked) => {
                    accepted += 1;
                    let masked: Vec<_> = checked
                        .objects
                        .iter()
                        .filter(|it| it.key().kind == ObjectKind::Secret)
                        // A type is no secret.
                        .filter(|it| it.to_manifest_value(Secrets::Masked)["type"] != MARKER)
                        .map(|it| it.to_manifest_value(Secrets::Masked))
                        .collect();
                    format!("{checked:?} {masked:?}")
                }
                Err(violations) => {
                    refused += 1;
                    format!("{violations:?}")
                }
            };
            assert!(
                !told.contains(MARKER) && !told.contains(MARKER_IN_BASE64),
                "{told}\n{text}"
            );
        }
    }
    assert!(accepted > 10 && refused > 100, "{accepted} {refused}");
}
