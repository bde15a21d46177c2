//! A list of models, which is reported as a whole or not at all: a part of it would read as the whole.

use ai_monitor_plugin_api::report::Model;

/// The most models that a report may list.
const MODELS_MAX: usize = 2000;
/// What they may take of the mebibyte that a report may have, in bytes.
const BYTES_MAX: usize = 768 * 1024;
/// Of a model's numbers, states and names of fields, at most.
const FIELDS: usize = 200;

/// The list; `None` where it is more than a report holds.
pub fn whole(models: Vec<Model>) -> Option<Vec<Model>> {
    let fits = models.len() <= MODELS_MAX && models.iter().map(size).sum::<usize>() <= BYTES_MAX;
    fits.then_some(models)
}

/// No less than its bytes in JSON.
fn size(model: &Model) -> usize {
    let texts = [&model.id].into_iter().chain(&model.aliases).chain(&model.expires_at);
    let texts = texts.chain(model.capabilities.iter().flatten());
    let texts = texts.chain(model.info.iter().flat_map(|(name, text)| [name, text]));
    FIELDS + texts.map(|text| quoted(text)).sum::<usize>()
}

/// A text in JSON, with its quotes and a separator.
fn quoted(text: &str) -> usize {
    let byte = |byte: u8| match byte {
        0..=0x1f => 6,
        b'"' | b'\\' => 2,
        _ => 1,
    };
    3 + text.bytes().map(byte).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_whole_or_left_out() {
        let models = |count: usize, aliases: usize| {
            let aliases = vec!["\u{1}\"an alias\\".to_owned(); aliases];
            (0..count).map(|n| Model { id: n.to_string(), aliases: aliases.clone(), ..Model::default() }).collect()
        };
        let kept = |models: Vec<Model>| whole(models).map(|models| models.len());
        assert_eq!(kept(models(2000, 0)), Some(2000));
        assert_eq!(kept(models(2001, 0)), None);
        assert_eq!(kept(models(1000, 100)), None, "it would pass a mebibyte");
        assert_eq!(kept(Vec::new()), Some(0));
    }

    #[test]
    fn a_models_size_is_not_taken_for_less_than_it_is() {
        let model = Model {
            id: "a\"\\\n/ä".into(),
            aliases: vec!["b".into(), "\u{1f}".into()],
            state: Some(ai_monitor_plugin_api::report::ModelState::Unloaded),
            size_bytes: Some(u64::MAX),
            gpu_bytes: Some(u64::MAX),
            expires_at: Some("2026-11-24T04:06:14Z".into()),
            capabilities: Some(vec!["completion".into()]),
            info: [("context".to_owned(), "512".to_owned())].into(),
        };
        let written = serde_json::to_string(&model).unwrap_or_default().len();
        assert!((written..written + FIELDS).contains(&size(&model)), "{written} {}", size(&model));
    }
}
