//! Bundles of pods with the Secrets and ConfigMaps that they take from, some of them hostile.

mod object;
mod pod;
mod write;

use seedpod_manifest::FieldValidation;
use serde_json::Value;

use crate::dice::Dice;

/// Stands at the beginning of each Secret's value, and nowhere else. Three times four bytes: its Base64 is the same
/// whatever follows.
pub const MARKER: &str = "Xq7ZkW9vB2mL";
/// A Secret's value that was written as a number.
pub const NUMBER: &str = "739184620517";

/// What is sent to the node.
#[derive(Debug)]
pub struct Bundle {
    /// Documents in YAML or JSON.
    pub manifests: Vec<String>,
    pub field_validation: FieldValidation,
    pub allow_secret_env: bool,
}

impl Bundle {
    /// The bundle that the bytes describe.
    pub fn from_bytes(data: &[u8]) -> Self {
        let dice = &mut Dice::new(data);
        let field_validation = dice.pick(&[FieldValidation::Strict, FieldValidation::Warn]);
        let allow_secret_env = dice.odds(1, 3);
        let objects: Vec<object::Made> = (0..=dice.below(4))
            .map(|index| object::make(dice, index))
            .collect();
        let mut documents: Vec<Value> = objects.iter().map(|made| made.document.clone()).collect();
        let pods = 1 + dice.below(3);
        for index in 0..pods {
            let namespace = dice.pick(&object::NAMESPACES);
            let place = dice.below(documents.len() + 1);
            let pod = pod::make(dice, index, namespace, &objects, allow_secret_env);
            documents.insert(place, pod);
        }
        Self {
            manifests: write::manifests(dice, documents),
            field_validation,
            allow_secret_env,
        }
    }
}
