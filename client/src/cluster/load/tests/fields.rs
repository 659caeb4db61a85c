//! Where faults are, and what is wrong with volumes.

use super::*;

#[test]
fn faults_have_the_places_of_their_fields() {
    let text = with(
        "apiServer: {extraArgs: {v: '1', secure-port: '1'}}\netcd:\n  clientPort: 10290\nscheduler:\n  replicas: 9\n",
    );
    let text = text.replace("name: w, ", "name: w, taints: [], labels: {a/b: ä/b}, ");
    let found = faults(&text);
    let places: Vec<(&str, Option<(usize, usize)>)> = found
        .iter()
        .map(|fault| {
            let place = fault.place.map(|place| (place.line, place.column));
            (fault.field.as_str(), place)
        })
        .collect();
    assert_eq!(
        places,
        [
            ("nodes[3].labels[\"a/b\"]", Some((10, 39))),
            ("apiServer.extraArgs.secure-port", Some((11, 46))),
            ("etcd.clientPort", Some((13, 15))),
            ("scheduler.replicas", Some((15, 13))),
        ]
    );
    // A program's configuration has no places.
    let configuration = good(CLUSTER).configuration;
    let wrong = ClusterConfiguration {
        name: "Demo".to_owned(),
        ..configuration
    };
    let error = wrong.into_loaded("/").expect_err("a fault");
    let message = error.to_string();
    assert!(
        message.starts_with("the configuration: name: "),
        "{message}"
    );
}

#[test]
fn extra_volumes_are_checked() {
    let (ok, secrets) = (
        "name: a, hostPath: /a, mountPath: /a",
        "/etc/kubernetes/secrets",
    );
    for (mounts, field, remedy) in [
        (
            "{name: A, hostPath: /a, mountPath: /a}",
            "[0].name",
            "lower-case",
        ),
        (
            "{name: secrets, hostPath: /a, mountPath: /a}",
            "[0].name",
            "choose another",
        ),
        (
            &*format!("{{{ok}}}, {{name: a, hostPath: /a, mountPath: /b}}"),
            "[1].name",
            "twice",
        ),
        (
            &*format!("{{{ok}}}, {{name: b, hostPath: /b, mountPath: /a/}}"),
            "[1].mountPath",
            "twice",
        ),
        (
            "{name: a, hostPath: a, mountPath: /a}",
            "[0].hostPath",
            "absolute",
        ),
        (
            "{name: a, hostPath: /a/../b, mountPath: /a}",
            "[0].hostPath",
            "absolute",
        ),
        (
            "{name: a, hostPath: /a, mountPath: /}",
            "[0].mountPath",
            "absolute",
        ),
        (
            "{name: a, hostPath: /a, mountPath: '/a:b'}",
            "[0].mountPath",
            "absolute",
        ),
        (
            &*format!("{{name: a, hostPath: /a, mountPath: {secrets}}}"),
            "[0].mountPath",
            "hide",
        ),
        (
            "{name: a, hostPath: /a, mountPath: /etc/kubernetes}",
            "[0].mountPath",
            "hide",
        ),
        (
            &*format!("{{{ok}, pathType: Folder}}"),
            "[0].pathType",
            "DirectoryOrCreate",
        ),
    ] {
        for program in ["apiServer", "controllerManager", "scheduler"] {
            let (found, message) = fault(&format!("{program}: {{extraVolumes: [{mounts}]}}\n"));
            assert_eq!(found, format!("{program}.extraVolumes{field}"), "{message}");
            assert!(message.contains(remedy), "{mounts}: {message}");
        }
    }
    good(&with(&format!(
        "scheduler: {{extraVolumes: [{{{ok}, readOnly: true, pathType: File}}, {{name: b, hostPath: /a, mountPath: /b}}]}}\n"
    )));
}
