//! Where the values of Secrets are, and where they are not: in no answer, log or metric, and not in the daemon's memory
//! once they are on the disk and the connection that brought them is closed.

use std::{
    fs::File,
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper_util::rt::TokioIo;
use seedpod_proto::v1::{
    GetRevisionRequest, InjectPodsRequest, ListObjectsRequest, RollbackBundleRequest,
    pod_change::Type, pod_injection_service_client::PodInjectionServiceClient,
};
use tonic::{
    Code,
    transport::{Channel, Endpoint},
};

use super::*;

/// Something that nobody else has in memory.
fn marker(prefix: &str) -> String {
    let mut random = [0; 18];
    File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut random)
        .unwrap();
    let hex: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{prefix}_{hex}")
}

/// A value that must not be found, also not as base64.
struct Value(String);

impl Value {
    fn new() -> Self {
        Self(marker("secret"))
    }

    fn base64(&self) -> String {
        STANDARD.encode(&self.0)
    }

    fn assert_not_in(&self, what: &str, text: &str) {
        for part in [&self.0, &self.base64()] {
            let at = text.find(part.as_str());
            assert!(at.is_none(), "{what} has the value, at {at:?}");
        }
    }
}

/// A pod that takes a Secret as a volume, with a marker that may be found, and the Secret.
fn manifest(may_be_found: &str, [data, string_data]: [&Value; 2]) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata:\n  name: web\n  annotations: {{example.com/public: {may_be_found}}}\n\
         spec:\n  containers:\n  - name: main\n    image: example/web:1\n    volumeMounts:\n    \
         - {{name: tls, mountPath: /etc/tls}}\n  volumes:\n  - name: tls\n    secret: {{secretName: tls}}\n\
         ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: tls}}\ndata:\n  one: {}\n\
         stringData:\n  two: {}\n",
        data.base64(),
        string_data.0
    )
}

fn request(manifest: String) -> InjectPodsRequest {
    InjectPodsRequest {
        bundle: "app".to_owned(),
        manifests: vec![manifest],
        ..InjectPodsRequest::default()
    }
}

type Client = PodInjectionServiceClient<Channel>;

async fn connect(socket: PathBuf) -> Client {
    let connect = move |_| {
        let socket = socket.clone();
        async move {
            let stream = tokio::net::UnixStream::connect(socket).await?;
            Ok::<_, std::io::Error>(TokioIo::new(stream))
        }
    };
    let endpoint = Endpoint::from_static("http://localhost");
    let channel = endpoint.connect_with_connector(tower::service_fn(connect));
    PodInjectionServiceClient::new(channel.await.unwrap())
}

/// How often each of `needles` is in the memory of a process that can be written to. `None`: we may not look.
fn count(process: &Child, needles: &[String]) -> Option<Vec<usize>> {
    let folder = PathBuf::from(format!("/proc/{}", process.id()));
    let memory = match File::open(folder.join("mem")) {
        Ok(memory) => memory,
        Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
        Err(error) => panic!("{error}"),
    };
    let maps = std::fs::read_to_string(folder.join("maps")).unwrap();
    let mut counts = vec![0; needles.len()];
    for line in maps.lines() {
        let mut parts = line.split_whitespace();
        let (range, rights) = (parts.next().unwrap(), parts.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // A mapping may have gone meanwhile.
        let read = memory.read_at(&mut bytes, from).unwrap_or(0);
        for (count, needle) in counts.iter_mut().zip(needles) {
            *count += memchr::memmem::find_iter(&bytes[..read], needle).count();
        }
    }
    Some(counts)
}

/// Begins the daemon, with its log in a file and at its most talkative. What it keeps is encrypted.
#[expect(clippy::disallowed_methods, reason = "a test's own file")]
fn begin(scratch: &Scratch) -> Running {
    let keys = scratch.path("keys");
    let text = format!(
        "apiVersion: seedpod.dev/v1alpha1\nkind: EncryptionKeys\nkeys:\n- name: one\n  secret: {}\n",
        STANDARD.encode([7; 32])
    );
    std::fs::write(&keys, text).unwrap();
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&keys, private).unwrap();
    let config = scratch.configure_all(&format!(
        "listenAddress: \"\"\nmetricsAddress: 127.0.0.1:0\nlog: {{level: trace}}\n\
         secretEncryption: {{keyFile: {}}}\n",
        keys.display()
    ));
    let manager = Manager::listen(&scratch.path("notify"));
    let daemon = Running(
        seedpodd()
            .arg("--config")
            .arg(config)
            .env("NOTIFY_SOCKET", scratch.path("notify"))
            .stderr(File::create(scratch.path("log")).unwrap())
            .spawn()
            .unwrap(),
    );
    manager.hear("READY=1");
    daemon
}

/// The contents of all files below a folder, and how many these are.
fn files(folder: &Path) -> (usize, String) {
    let (mut count, mut texts) = (0, String::new());
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            let (more, text) = files(&entry.path());
            count += more;
            texts.push_str(&text);
        } else {
            count += 1;
            texts.push_str(&String::from_utf8_lossy(
                &std::fs::read(entry.path()).unwrap(),
            ));
        }
    }
    (count, texts)
}

fn log(scratch: &Scratch) -> String {
    std::fs::read_to_string(scratch.path("log")).unwrap()
}

fn metrics(scratch: &Scratch) -> String {
    let log = log(scratch);
    let said = log
        .split("address=127.0.0.1:")
        .nth(1)
        .expect("it says where");
    let port = said.split(|c: char| !c.is_ascii_digit()).next().unwrap();
    let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.contains("seedpod_injections_total"), "{text}");
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_secret_holds_leaves_the_daemon_s_memory() {
    let scratch = Scratch::new();
    let mut daemon = begin(&scratch);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", daemon.0.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    let core: Vec<_> = core.unwrap().split_whitespace().skip(4).collect();
    assert_eq!(core, ["0", "0", "bytes"]);

    let (public, values) = (marker("public"), [Value::new(), Value::new()]);
    let mut client = connect(scratch.path("s")).await;
    let manifest = manifest(&public, values.each_ref());
    let injected = client.inject_pods(request(manifest)).await.unwrap();
    let uid = &injected.get_ref().bundle.as_ref().unwrap().pods[0].uid;
    // Read from the disk again for this.
    let file = scratch.path("volumes").join(uid).join("tls/two");
    let deadline = Instant::now() + PATIENCE;
    while !file.exists() {
        assert!(Instant::now() < deadline, "the pod's volume is not there");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), values[1].0);
    // Nor does what is shown stay.
    let show = GetRevisionRequest {
        name: "app".to_owned(),
        revision: 1,
        show_secrets: true,
    };
    let shown = client.get_revision(show).await.unwrap().into_inner();
    assert!(shown.object_manifests[0].contains(&values[0].base64()));
    drop(client);

    let mut needles = vec![public];
    needles.extend(
        values
            .iter()
            .flat_map(|value| [value.0.clone(), value.base64()]),
    );
    let deadline = Instant::now() + PATIENCE;
    loop {
        let Some(counts) = count(&daemon.0, &needles) else {
            // Not even to its own user is it open, unless that is root.
            assert!(!rustix::process::geteuid().is_root());
            break;
        };
        assert!(counts[0] > 0, "what is searched for is found where it is");
        if counts[1..] == [0; 4] {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "values are still there: {counts:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.ended().success());
    for value in &values {
        value.assert_not_in("the log", &log(&scratch));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_secret_holds_is_told_by_nothing() {
    let scratch = Scratch::new();
    let mut daemon = begin(&scratch);
    let mut client = connect(scratch.path("s")).await;
    let (public, values) = (marker("public"), [Value::new(), Value::new(), Value::new()]);
    let [one, two, three] = values.each_ref();
    let mut told = Vec::new();

    let first = manifest(&public, [one, two]);
    let injected = client.inject_pods(request(first.clone())).await.unwrap();
    told.push(format!("{:?}", injected.into_inner()));
    let mut dry = request(manifest(&public, [one, three]));
    dry.validate_only = true;
    let dry = client.inject_pods(dry).await.unwrap().into_inner();
    assert_eq!(dry.changes[0].r#type(), Type::Replaced);
    assert!(!dry.changes[0].diff.is_empty() && !dry.object_changes[0].diff.is_empty());
    told.push(dry.changes[0].diff.clone() + &dry.object_changes[0].diff);
    let second = client.inject_pods(request(manifest(&public, [three, two])));
    told.push(format!("{:?}", second.await.unwrap().into_inner()));
    let list = client.list_objects(ListObjectsRequest::default()).await;
    let list = list.unwrap().into_inner();
    assert_eq!(list.objects[0].keys.len(), 2);
    told.push(format!("{list:?}"));
    for revision in [1, 2] {
        let get = GetRevisionRequest {
            name: "app".to_owned(),
            revision,
            show_secrets: false,
        };
        let shown = client.get_revision(get).await.unwrap().into_inner();
        assert!(shown.object_manifests[0].contains("kind: Secret"));
        told.extend(shown.manifests);
        told.extend(shown.object_manifests);
    }
    let back = RollbackBundleRequest {
        name: "app".to_owned(),
        validate_only: true,
        ..RollbackBundleRequest::default()
    };
    let back = client.rollback_bundle(back).await.unwrap().into_inner();
    told.push(back.changes[0].diff.clone() + &back.object_changes[0].diff);

    // Whatever is wrong with it.
    let spoilt: [(&str, String); 5] = [
        ("  one: ", format!("  one: \"{}\"\n  was: ", one.0)),
        ("  two: ", format!("  two: [\"{}\"]\n  was: ", one.0)),
        ("  two: ", format!("  two: {{{0}: {0}}}\n  was: ", one.0)),
        ("  two: ", format!("  two: \"{}\n  was: ", one.0)),
        (
            "kind: Secret\n",
            format!("kind: Secret\nimmutable: {}\n", one.0),
        ),
    ];
    for (part, instead) in spoilt {
        let spoilt = first.replacen(part, &instead, 1);
        let error = client.inject_pods(request(spoilt)).await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument, "{part}: {error}");
        told.push(format!("{error:?}"));
        told.push(String::from_utf8_lossy(error.details()).into_owned());
    }
    told.push(metrics(&scratch));
    daemon.signal(rustix::process::Signal::TERM);
    drop(client);
    assert!(daemon.ended().success());
    told.push(log(&scratch));
    // Each content, two revisions, events and more.
    let (count, kept) = files(&scratch.path("state"));
    assert!(count > 5 && kept.contains(&public), "{count}");
    told.push(kept);
    told.push(files(&scratch.path("manifests")).1);
    for value in &values {
        for (n, text) in told.iter().enumerate() {
            value.assert_not_in(&format!("text {n}"), text);
        }
    }
}
