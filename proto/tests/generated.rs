//! Keeps `src/generated` equal to what the `.proto` files say.

#![allow(clippy::disallowed_methods, reason = "the ban is for the daemon")]

use std::{env, fs, path::Path};

use prost::Message as _;

const FILES: &[&str] = &[
    "seedpod.v1.rs",
    "runtime.v1.rs",
    "v1alpha1.rs",
    "seedpod.v1.binpb",
];

fn generate(root: &Path, out: &Path) {
    let compile = |files: &[&str]| {
        let mut compiler = protox::Compiler::new([root]).expect("proto root");
        compiler.include_source_info(true).include_imports(true);
        for file in files {
            compiler
                .open_file(file)
                .unwrap_or_else(|error| panic!("{file}: {error}"));
        }
        compiler.file_descriptor_set()
    };

    let api = compile(&[
        "seedpod/v1/pod_injection.proto",
        "seedpod/v1/handoff.proto",
        "seedpod/v1/node.proto",
    ]);
    // Reflection needs the comments too: `grpcurl describe` shows them. The codec is prost's own and deterministic.
    fs::write(out.join("seedpod.v1.binpb"), api.encode_to_vec()).expect("write descriptor set");
    tonic_prost_build::configure()
        .out_dir(out)
        .skip_debug([
            "seedpod.v1.InjectPodsRequest",
            "seedpod.v1.Revision",
            "seedpod.v1.ApplyObjectsRequest",
            "seedpod.v1.StartHandoffRequest",
            "seedpod.v1.ConfigureKubeletRequest",
        ])
        .compile_fds(api)
        .expect("generate seedpod.v1");

    // The server sides are for the fake runtimes and kubelets of tests.
    for file in ["runtime/v1/cri.proto", "kubelet/v1alpha1/pods.proto"] {
        tonic_prost_build::configure()
            .build_server(true)
            .out_dir(out)
            .skip_debug(["runtime.v1.ContainerStatusResponse"])
            .compile_fds(compile(&[file]))
            .unwrap_or_else(|error| panic!("generate {file}: {error}"));
    }
}

#[test]
fn generated_code_is_what_the_proto_files_say() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let committed = root.join("src/generated");
    let fresh = tempfile::tempdir().expect("temporary folder");
    generate(root, fresh.path());

    if env::var_os("SEEDPOD_REGENERATE").is_some() {
        fs::create_dir_all(&committed).expect("create src/generated");
        for file in FILES {
            fs::copy(fresh.path().join(file), committed.join(file)).expect("copy");
        }
    }
    for file in FILES {
        let (old, new) = (
            fs::read(committed.join(file)),
            fs::read(fresh.path().join(file)),
        );
        assert!(
            old.expect("committed file") == new.expect("generated file"),
            "src/generated/{file} is stale: run SEEDPOD_REGENERATE=1 cargo test -p seedpod-proto"
        );
    }
}
