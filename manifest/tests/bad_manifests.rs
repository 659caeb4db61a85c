//! Each manifest of the table is refused with its reason, at its field and in its place.

use std::collections::HashSet;

use seedpod_manifest::{FieldValidation, Options, Reason, check};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    manifest: String,
    reason: String,
    field: String,
    line: Option<usize>,
    column: Option<usize>,
}

fn cases() -> Vec<Case> {
    serde_saphyr::from_str(include_str!("../testdata/bad-manifests.yaml")).unwrap()
}

fn options() -> Options {
    Options {
        allow_secret_env: false,
        node: "node-1".parse().unwrap(),
        max_pods: 64,
        max_bytes: 4 << 20,
        field_validation: FieldValidation::Strict,
    }
}

#[test]
fn each_bad_manifest_is_refused_with_its_reason_at_its_field() {
    let mut failures = Vec::new();
    for case in cases() {
        let Err(found) = check(&[&case.manifest], &options()) else {
            failures.push(format!("{}: accepted", case.name));
            continue;
        };
        let expected: Reason = case.reason.parse().unwrap();
        let [violation] = found.as_slice() else {
            failures.push(format!("{}: {found:#?}", case.name));
            continue;
        };
        let position = violation
            .position
            .map(|position| (position.line, position.column));
        let place = case.line.zip(case.column);
        if (violation.reason, &violation.field) != (expected, &case.field)
            || (place.is_some() && position != place)
        {
            failures.push(format!(
                "{}: wanted {expected} {} {place:?}, got {violation:#?}",
                case.name, case.field
            ));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_table_is_large_and_its_names_differ() {
    let cases = cases();
    assert!(cases.len() >= 60, "{}", cases.len());
    assert!(cases.iter().filter(|case| case.line.is_some()).count() >= 40);
    let names: HashSet<_> = cases.iter().map(|case| &case.name).collect();
    assert_eq!(names.len(), cases.len());
}

#[test]
fn every_reason_of_a_single_manifest_is_in_the_table() {
    let in_table: HashSet<Reason> = cases()
        .iter()
        .map(|case| case.reason.parse().unwrap())
        .collect();
    let elsewhere = [
        // Limits, which the tests of the bundle show.
        Reason::PodTooLarge,
        Reason::TooManyPods,
        Reason::BundleTooLarge,
        Reason::VolumesTooLarge,
        Reason::TooManyObjects,
        Reason::ObjectTooLarge,
        // Warnings.
        Reason::FieldDropped,
        Reason::PriorityNotSet,
        Reason::RestartPolicyIgnored,
        Reason::NodeSelection,
        Reason::FieldIgnored,
        Reason::DefaultApplied,
        Reason::UnreadableFile,
        Reason::UnusedObject,
    ];
    for reason in Reason::ALL {
        assert!(
            in_table.contains(reason) != elsewhere.contains(reason),
            "{reason}"
        );
    }
}

#[test]
fn a_fault_of_a_later_manifest_names_its_number() {
    let good = "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: a, image: a}]}}";
    for case in cases().iter().filter(|case| case.line.is_some()) {
        let violations = check(&[good, &case.manifest], &options()).unwrap_err();
        assert_eq!(
            violations[0].field,
            case.field.replacen("manifests[0]", "manifests[1]", 1)
        );
        assert_eq!(violations[0].position.unwrap().manifest, 1);
    }
}

#[test]
fn no_sentence_tells_the_value_of_a_variable_or_a_secret() {
    let secret = "hunter2hunter2";
    for manifest in [
        format!("apiVersion: v1\nkind: Secret\nstringData: {{password: {secret}}}\n"),
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers:\n  - name: a\n    image: a\n    \
             env: [{{name: A, value: [{secret}]}}, {{name: B, value: {secret}, valueFrom: {{}}}}]\n"
        ),
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: a}}\nspec:\n  containers:\n  - name: a\n    image: a\n    \
             env: [{{name: B, value: {secret}, valueFrom: {{}}}}]\n"
        ),
    ] {
        let violations = check(&[manifest], &options()).unwrap_err();
        assert!(!violations.is_empty());
        assert!(
            !format!("{violations:?}").contains(secret),
            "{violations:?}"
        );
    }
}
