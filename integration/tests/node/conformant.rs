//! What a cluster that has come up is held against: what kubeadm's documentation says that a conformant control plane has.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use seedpod_client::cluster::{ClusterConfiguration, render};
use seedpod_integration::wait_for;
use serde_json::{Value, json};

use crate::rig::LIMIT;

const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// Asks the cluster of a `cluster.yaml`, which was rendered into `rig` beside it. `kubectl` takes arguments, and gives what
/// was printed.
pub(crate) fn check(folder: &Path, address: &str, kubectl: &dyn Fn(&[&str]) -> String) {
    let cluster = Asked { folder, kubectl };
    cluster.aggregation_layer();
    cluster.issuer_of_tokens();
    cluster.roles();
    cluster.service(address);
    cluster.cluster_info();
}

struct Asked<'a> {
    folder: &'a Path,
    kubectl: &'a dyn Fn(&[&str]) -> String,
}

impl Asked<'_> {
    fn kubectl(&self, arguments: &[&str]) -> String {
        (self.kubectl)(arguments)
    }

    fn get(&self, arguments: &[&str]) -> Value {
        let text = self.kubectl(&[&["get"], arguments].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// What `kubectl create --raw` answers to an object.
    fn create(&self, path: &str, object: &Value) -> Value {
        let file = self.folder.join("object.json");
        fs::write(&file, object.to_string()).unwrap();
        let file = file.display().to_string();
        let text = self.kubectl(&["create", "--raw", path, "-f", &file]);
        serde_json::from_str(&text).unwrap()
    }

    fn pki(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join("rig/pki").join(name)).unwrap()
    }

    /// Extension API servers learn from a ConfigMap whom they may believe; and all API services are there.
    fn aggregation_layer(&self) {
        let name = "configmap/extension-apiserver-authentication";
        let data = self.get(&["-n", "kube-system", name, "-o", "json"])["data"].clone();
        let text = |key: &str| data[key].as_str().unwrap_or_default().trim().to_owned();
        assert_eq!(text("client-ca-file"), self.pki("ca.crt").trim());
        let front_proxy = self.pki("front-proxy-ca.crt");
        assert_eq!(text("requestheader-client-ca-file"), front_proxy.trim());
        for (key, value) in [
            ("requestheader-allowed-names", "front-proxy-client"),
            ("requestheader-username-headers", "X-Remote-User"),
            ("requestheader-group-headers", "X-Remote-Group"),
            ("requestheader-extra-headers-prefix", "X-Remote-Extra-"),
        ] {
            assert_eq!(text(key), format!("[{value:?}]"), "{data}");
        }
        let services = self.get(&["apiservices", "-o", "json"]);
        for service in services["items"].as_array().unwrap() {
            let conditions = service["status"]["conditions"].as_array().unwrap();
            let is_available = |it: &Value| it["type"] == "Available" && it["status"] == "True";
            assert!(conditions.iter().any(is_available), "{service}");
        }
    }

    /// Who is given a token can find out where it is from, and the API server believes it.
    fn issuer_of_tokens(&self) {
        let discovered = self.get(&["--raw", "/.well-known/openid-configuration"]);
        assert_eq!(discovered["issuer"], ISSUER);
        let keys = self.get(&["--raw", "/openid/v1/jwks"])["keys"].clone();
        let token = self.kubectl(&["create", "token", "default", "--duration=10m"]);
        let parts: Vec<Value> = token
            .trim()
            .split('.')
            .take(2)
            .map(|part| {
                let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
                serde_json::from_slice(&bytes).unwrap()
            })
            .collect();
        let known = keys.as_array().unwrap().iter();
        assert!(
            known.clone().any(|key| key["kid"] == parts[0]["kid"]),
            "{keys}"
        );
        assert_eq!(parts[1]["iss"], ISSUER);
        assert_eq!(parts[1]["sub"], "system:serviceaccount:default:default");
        let review = self.create(
            "/apis/authentication.k8s.io/v1/tokenreviews",
            &json!({
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenReview",
                "spec": {"token": token.trim()},
            }),
        );
        assert_eq!(review["status"]["authenticated"], true);
    }

    /// The bindings under kubeadm's names, and what they come to.
    fn roles(&self) {
        let bindings = self.get(&["clusterrolebindings", "-o", "json"])["items"].clone();
        let bindings = bindings.as_array().unwrap();
        for (name, role, subject) in [
            (
                "kubeadm:cluster-admins",
                "cluster-admin",
                "kubeadm:cluster-admins",
            ),
            (
                "kubeadm:apiserver-kubelet-client",
                "system:kubelet-api-admin",
                "kube-apiserver-kubelet-client",
            ),
            (
                "kubeadm:kubelet-bootstrap",
                "system:node-bootstrapper",
                "system:bootstrappers:kubeadm:default-node-token",
            ),
            (
                "kubeadm:node-autoapprove-bootstrap",
                "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
                "system:bootstrappers:kubeadm:default-node-token",
            ),
            (
                "kubeadm:node-autoapprove-certificate-rotation",
                "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
                "system:nodes",
            ),
            (
                "kubeadm:get-nodes",
                "kubeadm:get-nodes",
                "system:bootstrappers:kubeadm:default-node-token",
            ),
        ] {
            let found = bindings.iter().find(|it| it["metadata"]["name"] == name);
            let found = found.unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(found["roleRef"]["name"], role, "{found}");
            assert_eq!(found["subjects"][0]["name"], subject, "{found}");
        }
        let anonymous = ("system:anonymous", "system:unauthenticated");
        let bootstrap = (
            "system:bootstrap:abcdef",
            "system:bootstrappers:kubeadm:default-node-token",
        );
        for ((user, group), verb, kind, allowed) in [
            (("me", "kubeadm:cluster-admins"), "delete", "nodes", true),
            (bootstrap, "create", "certificatesigningrequests", true),
            (bootstrap, "get", "nodes", true),
            (bootstrap, "list", "secrets", false),
            (anonymous, "list", "pods", false),
            (("me", "system:authenticated"), "list", "nodes", false),
        ] {
            let group_of = match kind {
                "certificatesigningrequests" => "certificates.k8s.io",
                _ => "",
            };
            let attributes = json!({"verb": verb, "resource": kind, "group": group_of});
            let is_allowed = self.is_allowed(user, group, &attributes);
            assert_eq!(is_allowed, allowed, "{user} {verb} {kind}");
        }
    }

    /// Pods find the API at the first address of the services.
    fn service(&self, address: &str) {
        let service = self.get(&["service/kubernetes", "-o", "json"]);
        assert_eq!(service["spec"]["clusterIP"], "10.96.0.1");
        let slice = self.get(&["endpointslice/kubernetes", "-o", "json"]);
        let addresses = &slice["endpoints"][0]["addresses"];
        assert_eq!(addresses, &json!([address]), "{slice}");
        assert_eq!(slice["ports"][0]["port"], 6443, "{slice}");
    }

    /// With bootstrap tokens there is a ConfigMap that everybody may read, and that the controller manager signs.
    fn cluster_info(&self) {
        let text = fs::read_to_string(self.folder.join("cluster.yaml")).unwrap();
        let mut configuration: Value = serde_json::from_str(&text).unwrap();
        configuration["kubelet"] = json!({"admission": "bootstrapToken"});
        configuration["certificates"] = json!({"directory": self.folder.join("rig/pki")});
        let file = self.folder.join("with-tokens.yaml");
        fs::write(&file, configuration.to_string()).unwrap();
        let loaded = ClusterConfiguration::load(&file).unwrap();
        let rendered = render(&loaded, &self.folder.join("with-tokens")).unwrap();
        let folder = self.folder.join("with-tokens/bootstrap");
        self.kubectl(&["apply", "-f", folder.to_str().unwrap()]);
        let token = &rendered.pki.bootstrap_token.as_ref().unwrap().id;
        let signed = wait_for(LIMIT, "cluster-info is signed", || {
            let name = ["-n", "kube-public", "configmap/cluster-info", "-o", "json"];
            let data = self.get(&name)["data"].clone();
            data[format!("jws-kubeconfig-{token}")]
                .is_string()
                .then_some(data)
        })
        .unwrap();
        let authority = base64::prelude::BASE64_STANDARD.encode(self.pki("ca.crt"));
        let kubeconfig = signed["kubeconfig"].as_str().unwrap();
        assert!(kubeconfig.contains(&authority), "{kubeconfig}");
        let attributes = json!({
            "verb": "get",
            "resource": "configmaps",
            "namespace": "kube-public",
            "name": "cluster-info",
        });
        let (user, group) = ("system:anonymous", "system:unauthenticated");
        assert_eq!(self.is_allowed(user, group, &attributes), true);
    }

    /// What the API server says of it.
    fn is_allowed(&self, user: &str, group: &str, attributes: &Value) -> Value {
        let review = self.create(
            "/apis/authorization.k8s.io/v1/subjectaccessreviews",
            &json!({
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "groups": [group], "resourceAttributes": attributes},
            }),
        );
        review["status"]["allowed"].clone()
    }
}
