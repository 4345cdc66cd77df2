//! A number that is none, in every form in which a model may be stored, is refused at every door by the tensor's name.

use engine::Llama;

use super::*;
use crate::model::checkpoint::WeightForm;
use crate::model::checkpoint::stored::Stored;

/// Its rows are in one order in all files.
const NAME: &str = "model.layers.0.mlp.up_proj.weight";
const SHAPE: [usize; 2] = [96, 64];

/// Puts a NaN in the place of the first number, or of the first block's scale, of [`NAME`] in the model at `path`.
fn damage(path: &Path) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let file = checkpoint.path().to_path_buf();
    let (original, nan): (Vec<u8>, Vec<u8>) = match checkpoint.stored(NAME, &SHAPE).unwrap() {
        Stored::Plain(storage, bytes) => {
            let nan = match storage {
                Storage::Float(float) => float.encode(&[f32::NAN]),
                Storage::Blocks(_) => Float::F16.encode(&[f32::NAN]),
            };
            (bytes[..64].to_vec(), nan)
        }
        // One scale of scales stands for all of its 96 blocks.
        Stored::Nf4(nf4) => (Float::F32.encode(nf4.absmax2()), Float::F32.encode(&[f32::NAN])),
    };
    drop(checkpoint);
    let mut bytes = fs::read(&file).unwrap();
    let at: Vec<usize> = bytes
        .windows(original.len())
        .enumerate()
        .filter_map(|(at, window)| (window == original).then_some(at))
        .collect();
    assert_eq!(at.len(), 1, "{}", file.display());
    bytes[at[0]..at[0] + nan.len()].copy_from_slice(&nan);
    fs::write(&file, bytes).unwrap();
}

#[test]
fn every_door_refuses_it_in_every_form() {
    let dir = workshop();
    let model = dir.path().join("model");
    let mut damaged = Vec::new();
    for recipe in Recipe::ALL {
        damaged.push(dir.path().join(format!("{}.gguf", recipe.name())));
        open(&model).write_gguf(damaged.last().unwrap(), recipe, &mut quiet()).unwrap();
    }
    for (name, dtype) in [("f32", Float::F32), ("f16", Float::F16), ("bf16", Float::BF16)] {
        damaged.push(dir.path().join(name));
        open(&model).write_folder(damaged.last().unwrap(), Some(dtype), &mut quiet()).unwrap();
    }
    damaged.push(dir.path().join("nf4"));
    open(&model).write_nf4(damaged.last().unwrap(), &mut quiet()).unwrap();
    let device = device::parse(device::AVAILABLE[0]).unwrap();
    for path in damaged {
        damage(&path);
        let refused = |door: &str, error: LlamaError| {
            let error = error.to_string();
            assert!(
                error.contains(&format!("`{NAME}` holds values that are not finite")),
                "{door} {}: {error}",
                path.display()
            );
        };
        let checkpoint = Checkpoint::open(&path).unwrap();
        for form in [WeightForm::Stored, WeightForm::F32, WeightForm::Nf4] {
            let mut weights = checkpoint.weights(&device).with_form(form);
            let loaded = Llama::load(checkpoint.config().clone(), &mut weights, &device);
            refused(&format!("{form:?}"), loaded.map(|_| ()).unwrap_err());
        }
        let (output, adapter) = (dir.path().join("output"), dir.path().join("adapter"));
        let merged = Export::open(&path, Some(&adapter)).unwrap().write_folder(&output, None, &mut quiet());
        refused("merge", merged.unwrap_err());
        for recipe in [Recipe::F16, Recipe::Q4_0] {
            refused("export", open(&path).write_gguf(&output, recipe, &mut quiet()).unwrap_err());
        }
        refused("export", open(&path).write_nf4(&output, &mut quiet()).unwrap_err());
        assert!(!output.exists());
    }
}
