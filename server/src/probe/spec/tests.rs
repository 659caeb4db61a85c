use serde_json::{Value, json};

use super::*;

fn read(spec: &Value) -> PodProbes {
    PodProbes::read(&json!({ "spec": spec }).to_string()).unwrap()
}

/// What a readiness probe asks in a container with these ports and variables.
fn ask(probe: &Value) -> Ask {
    let spec = json!({"containers": [{
        "name": "main",
        "ports": [{"containerPort": 8080, "name": "web"}, {"containerPort": 9090}],
        "env": [{"name": "FILE", "value": "/ready"}, {"name": "FROM", "valueFrom": {}}],
        "readinessProbe": probe,
    }]});
    let readiness = &read(&spec).containers["main"].readiness;
    readiness.as_ref().unwrap().ask.clone()
}

#[test]
fn what_is_not_given_is_as_the_kubelet_has_it() {
    let pod = read(&json!({"containers": [{
        "name": "main",
        "readinessProbe": {"tcpSocket": {"port": 80}},
        "startupProbe": {
            "tcpSocket": {"port": 80}, "initialDelaySeconds": 7, "timeoutSeconds": 2, "periodSeconds": 3,
            "successThreshold": 1, "failureThreshold": 30,
        },
    }]}));
    assert!(!pod.host_network);
    let main = &pod.containers["main"];
    let seconds = Duration::from_secs;
    let default = Pace {
        initial_delay: seconds(0),
        period: seconds(10),
        timeout: seconds(1),
        successes: 1,
        failures: 3,
    };
    assert_eq!(main.readiness.as_ref().unwrap().pace, default);
    let given = Pace {
        initial_delay: seconds(7),
        period: seconds(3),
        timeout: seconds(2),
        successes: 1,
        failures: 30,
    };
    assert_eq!(main.startup.as_ref().unwrap().pace, given);
}

#[test]
fn containers_and_sidecars_are_probed_and_init_containers_are_not() {
    let probe = json!({"tcpSocket": {"port": 80}});
    let pod = read(&json!({
        "hostNetwork": true,
        "initContainers": [
            {"name": "init", "readinessProbe": probe},
            {"name": "sidecar", "restartPolicy": "Always", "startupProbe": probe},
        ],
        "containers": [
            {"name": "main", "readinessProbe": probe},
            {"name": "live", "livenessProbe": probe},
        ],
    }));
    assert!(pod.host_network);
    let mut names: Vec<&String> = pod.containers.keys().collect();
    names.sort();
    assert_eq!(names, ["main", "sidecar"]);
    assert!(pod.containers["sidecar"].readiness.is_none());
}

#[test]
fn a_pod_without_probes_is_nothing_to_keep() {
    let pod = json!({"spec": {"containers": [{"name": "main"}]}});
    assert_eq!(PodProbes::read(&pod.to_string()), None);
}

#[test]
fn each_kind_of_probe_is_read() {
    assert_eq!(
        ask(&json!({"httpGet": {"port": 80}})),
        Ask::Http(HttpAsk {
            https: false,
            host: None,
            port: 80,
            path: "/".to_owned(),
            headers: vec![],
        })
    );
    assert_eq!(
        ask(&json!({"httpGet": {
            "port": "web", "path": "/healthz", "scheme": "HTTPS", "host": "127.0.0.1",
            "httpHeaders": [{"name": "X-A", "value": "1"}, {"name": "X-A", "value": "2"}],
        }})),
        Ask::Http(HttpAsk {
            https: true,
            host: Some("127.0.0.1".to_owned()),
            port: 8080,
            path: "/healthz".to_owned(),
            headers: [("X-A", "1"), ("X-A", "2")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        })
    );
    assert_eq!(
        ask(&json!({"tcpSocket": {"port": "web"}})),
        Ask::Tcp {
            host: None,
            port: 8080
        }
    );
    assert_eq!(
        ask(&json!({"grpc": {"port": 9090}})),
        Ask::Grpc {
            port: 9090,
            service: String::new()
        }
    );
    assert_eq!(
        ask(&json!({"exec": {"command": ["cat", "$(FILE)", "$(FROM)", "$(OTHER)", "$$(FILE)"]}})),
        Ask::Exec {
            command: ["cat", "/ready", "", "$(OTHER)", "$(FILE)"]
                .map(str::to_owned)
                .into()
        }
    );
}

#[test]
fn a_port_that_is_none_cannot_be_asked() {
    for (port, reason) in [
        (
            json!("nope"),
            "it names the port \"nope\", which the container's ports do not have",
        ),
        (
            json!("8080"),
            "it names the port \"8080\", which the container's ports do not have",
        ),
        (json!(0), "0 is not a port: use 1 to 65535"),
        (json!(65536), "65536 is not a port: use 1 to 65535"),
    ] {
        let asked = ask(&json!({"httpGet": {"port": port}}));
        assert_eq!(asked, Ask::Nothing(reason.to_owned()), "{port}");
    }
}
