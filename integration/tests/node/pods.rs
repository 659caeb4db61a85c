//! Pods that do on command what a test needs: become ready, crash, run out of memory, write logs.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use seedpod_integration::pki::{Authority, Request};
use seedpod_integration::{Node, free_ports, images};
use serde_json::{Value, json};

/// A pod with one container `main` that runs a shell script.
pub(crate) fn script(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "terminationGracePeriodSeconds": 5,
            "containers": [{
                "name": "main",
                "image": images::BUSYBOX,
                "imagePullPolicy": "Never",
                "command": ["sh", "-c", script],
            }],
        },
    })
}

/// What a script ends with that has done its work: it waits for SIGTERM, and then ends at once.
pub(crate) const STAY: &str = "trap 'exit 0' TERM; while :; do sleep 3600 & wait $!; done";

/// A pod that prints a line and exits with a code, again and again.
pub(crate) fn crashing(name: &str, line: &str, code: u8) -> Value {
    script(name, &format!("echo '{line}'; exit {code}"))
}

/// A pod that needs more memory than its limit lets it have, so that the kernel kills it.
pub(crate) fn out_of_memory(name: &str) -> Value {
    let mut pod = script(
        name,
        "echo hungry; dd if=/dev/zero of=/dev/null bs=200M count=1",
    );
    pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "20Mi"}});
    pod
}

/// A pod whose image no registry and no node has.
pub(crate) fn without_image(name: &str) -> Value {
    let mut pod = script(name, STAY);
    pod["spec"]["containers"][0]["image"] = json!("rig.local/missing:1");
    pod
}

/// The bytes of each line that [`log_writer`] writes, with its end.
pub(crate) const LOG_LINE: usize = 100;

/// A pod that writes so many lines of [`LOG_LINE`] bytes as fast as it can, and stays. Each begins with its
/// number in ten digits, the first one's is 0000000001; the rest is `x`.
pub(crate) fn log_writer(name: &str, lines: u64) -> Value {
    let padding = "x".repeat(LOG_LINE - 12);
    let program =
        format!(r#"BEGIN {{ for (i = 1; i <= {lines}; i++) printf "%010d {padding}\n", i }}"#);
    script(name, &format!("awk '{program}'; {STAY}"))
}

/// As [`log_writer`], with a pause after each so many lines.
pub(crate) fn slow_log_writer(name: &str, lines: u64, burst: u64, pause: Duration) -> Value {
    let padding = "x".repeat(LOG_LINE - 12);
    let pause = pause.as_secs_f32();
    let program = format!(
        r#"BEGIN {{ for (i = 1; i <= {lines}; i++) {{ printf "%010d {padding}\n", i; if (i % {burst} == 0) {{ fflush(); system("sleep {pause}") }} }} }}"#
    );
    script(name, &format!("awk '{program}'; {STAY}"))
}

/// A pod with a wave.
pub(crate) fn in_wave(mut pod: Value, wave: u32) -> Value {
    pod["metadata"]["annotations"]["seedpod.dev/wave"] = json!(wave.to_string());
    pod
}

/// How a probe asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asks {
    Exec,
    Http,
    Https,
    Tcp,
    Grpc,
}

/// A pod on the host's network whose probe fails until [`Probed::pass`], and fails again after [`Probed::fail`].
///
/// The switch is a file on the host, so that it keeps its position when the container restarts.
#[derive(Debug)]
pub(crate) struct Probed {
    pod: Value,
    probe: Value,
    switch: PathBuf,
    /// Where the server listens, while it does; 0 for [`Asks::Exec`].
    pub(crate) port: u16,
}

impl Probed {
    pub(crate) fn new(node: &Node, name: &str, asks: Asks) -> Self {
        let folder = node.layout().scratch().join(name);
        fs::create_dir_all(&folder).expect("make a folder for the switch");
        let [port, control] = free_ports().expect("free ports");
        let (script, probe) = match asks {
            Asks::Exec => (
                STAY.to_owned(),
                json!({"exec": {"command": ["test", "-e", "/switch/on"]}}),
            ),
            Asks::Http => (
                // 404 while the switch is off.
                format!("exec httpd -f -p {port} -h /switch"),
                json!({"httpGet": {"port": port, "path": "/on"}}),
            ),
            Asks::Https => {
                let authority = Authority::new("switch").expect("an authority");
                let request = Request::server("switch", &["localhost"]);
                authority.issue(&folder, "tls", &request).expect("issue");
                let server = format!(
                    "agnhost netexec --http-port={port} --udp-port=-1 \
                     --tls-cert-file=/switch/tls.crt --tls-private-key-file=/switch/tls.key"
                );
                let broken = format!("{server} '--http-override=/echo?code=503&msg=off'");
                (
                    following(&server, &broken),
                    json!({"httpGet": {"port": port, "path": "/hostname", "scheme": "HTTPS"}}),
                )
            }
            Asks::Tcp => (
                following(&format!("httpd -f -p {port}"), "sleep 3600"),
                json!({"tcpSocket": {"port": port}}),
            ),
            Asks::Grpc => (
                grpc_script(port, control),
                json!({"grpc": {"port": port, "service": "switch"}}),
            ),
        };
        let mut pod = self::script(name, &script);
        let spec = &mut pod["spec"];
        spec["hostNetwork"] = json!(true);
        spec["containers"][0]["volumeMounts"] =
            json!([{"name": "switch", "mountPath": "/switch", "readOnly": true}]);
        spec["volumes"] = json!([{"name": "switch", "hostPath": {"path": folder}}]);
        if matches!(asks, Asks::Https | Asks::Grpc) {
            node.ensure_image(images::AGNHOST)
                .expect("the image for probes");
            spec["containers"][0]["image"] = json!(images::AGNHOST);
        }
        let port = if asks == Asks::Exec { 0 } else { port };
        Self {
            pod,
            probe,
            switch: folder.join("on"),
            port,
        }
    }

    /// The pod with its probe as `readinessProbe`, `startupProbe` or `livenessProbe`, asked each second. `changes`
    /// are fields of the probe, such as `failureThreshold`.
    pub(crate) fn pod(&self, kind: &str, changes: &Value) -> Value {
        let mut probe = self.probe.clone();
        probe["periodSeconds"] = json!(1);
        for (key, value) in changes.as_object().into_iter().flatten() {
            probe[key] = value.clone();
        }
        let mut pod = self.pod.clone();
        pod["spec"]["containers"][0][kind] = probe;
        pod
    }

    /// The pod with a readiness probe that one answer decides.
    pub(crate) fn readiness(&self) -> Value {
        self.pod("readinessProbe", &json!({"failureThreshold": 1}))
    }

    /// Lets the probe pass from now on.
    pub(crate) fn pass(&self) {
        fs::write(&self.switch, "").expect("turn the switch on");
    }

    /// Lets the probe fail from now on.
    pub(crate) fn fail(&self) {
        fs::remove_file(&self.switch).expect("turn the switch off");
    }
}

/// A script that runs one program while the switch is on and another one while it is off.
fn following(on: &str, off: &str) -> String {
    format!(
        "trap 'exit 0' TERM
while :; do
  {off} & program=$!
  while ! test -e /switch/on; do sleep 0.1; done
  kill $program; wait $program
  {on} & program=$!
  while test -e /switch/on; do sleep 0.1; done
  kill $program; wait $program
done"
    )
}

/// A gRPC server that refuses connections until the switch is on for the first time, since agnhost's begins with
/// SERVING, and tells SERVING or NOT_SERVING after that.
fn grpc_script(port: u16, control: u16) -> String {
    format!(
        "trap 'exit 0' TERM
while ! test -e /switch/on; do sleep 0.1; done
agnhost grpc-health-checking --service=switch --port={port} --http-port={control} &
while :; do
  while test -e /switch/on; do sleep 0.1; done
  wget -q -O - http://127.0.0.1:{control}/make-not-serving
  while ! test -e /switch/on; do sleep 0.1; done
  wget -q -O - http://127.0.0.1:{control}/make-serving
done"
    )
}
