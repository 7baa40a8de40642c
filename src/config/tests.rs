//! Settings that are right, and settings that are not.

use super::*;

#[test]
fn the_default_survives_toml() {
    let config = Config::default();
    assert_eq!(Config::parse(&config.to_toml()).unwrap(), config);
}

#[test]
fn filters_have_one_side_or_two() {
    let sizes = |text: &str| {
        let config = Config::parse(&format!("[[layer]]\nmaps = 4\n{text}"))?;
        // What is stored comes back.
        assert_eq!(Config::parse(&config.to_toml())?, config);
        Ok::<_, Error>(config.layers[0].size)
    };
    assert_eq!(sizes("size = 5").unwrap(), [5, 5]);
    assert_eq!(sizes("size = [1, 7]").unwrap(), [1, 7]);
    for (text, words) in [
        ("size = [1, 0]", "layer 1: size is 0"),
        ("size = [7]", "such as size = 7 or size = [1, 7]"),
        ("size = \"7\"", "such as size = 7 or size = [1, 7]"),
        ("size = -1", "such as size = 7 or size = [1, 7]"),
    ] {
        let error = sizes(text).unwrap_err().to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    let square = Config::parse("[[layer]]\nmaps = 4\nsize = 5").unwrap();
    assert!(square.to_toml().contains("size = 5\n"), "as it always was");
    assert!(!square.to_toml().contains("channels"));
}

#[test]
fn an_unknown_key_gets_the_nearest_right_one() {
    let error = Config::parse("[train]\nsolvr = \"fista\"").unwrap_err();
    says!(error, "did you mean `solver`?");
    let error = Config::parse("[[layer]]\nmaps = 9\nepoch = 3").unwrap_err();
    says!(error, "did you mean `epochs`?");
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    for (text, words) in [
        ("epochs = 3", "`epochs` belongs under [[layer]]"),
        ("solver = \"fista\"", "`solver` belongs under [train]"),
        ("[[layer]]\nmax_side = 9", "`max_side` belongs under [data]"),
        ("[train]\nseed = 9", "`seed` belongs at the top"),
        ("[data]\nsigma = 1", "`sigma` belongs under [preprocess]"),
        (
            "steps = 4",
            "`steps` belongs under [train] or under [train.beta]",
        ),
        ("[adam]\nrate = 1", "`adam` belongs under [train]"),
        ("[train]\nbeta_1 = 1", "`beta_1` belongs under [train.adam]"),
        ("epoch = 3", "did you mean `epochs` under [[layer]]?"),
        ("[[layers]]\nmaps = 3", "did you mean `layer`?"),
    ] {
        let error = Config::parse(text).expect_err(text).to_string();
        assert!(error.contains(words), "{text}: {error}");
    }
    let error = Config::parse("xyz = 3").unwrap_err().to_string();
    for advice in ["belongs", "did you"] {
        assert!(!error.contains(advice), "{error}");
    }
}

#[test]
fn every_table_is_asked_for_its_keys() {
    for &(place, text) in TABLES {
        let error = Config::parse(&format!("{text}\nno-such-key = 0")).unwrap_err();
        let error = format!("{place}: {error}");
        says!(error, "unknown field `no-such-key`, expected");
    }
}

#[test]
fn patterns_to_exclude_are_checked() {
    for (text, words) in [
        ("images = \"a\"\nexclude = [\"[a\"]", "'[a' is no pattern"),
        ("exclude = [\"a\"]", "give data.images"),
    ] {
        let error = Config::parse(&format!("[data]\n{text}")).expect_err(text);
        says!(format!("{text}: {error}"), words);
    }
}

#[test]
fn contradictions_are_named() {
    for (text, word) in [
        ("[[layer]]\nmaps = 9\np = 1.5", "p is 1.5"),
        ("[[layer]]\nmaps = 9\nsparsity = { of_max = 2.0 }", "of_max"),
        ("[[layer]]\nconnect = \"full\"", "maps"),
        ("[[layer]]\nmaps = 4\nconnect = \"singles\"", "gives 3 maps"),
        ("[[layer]]\nconnect = [[1, 1]]", "1 rows"),
        (
            "[train]\nsolver = \"adam\"\nupdate_filters = \"epoch\"",
            "contradicts",
        ),
        (
            "[train]\nsolver = \"descent\"\nupdate_filters = \"online\"\n[[layer]]\nmaps = 2\n[[layer]]\nmaps = 2",
            "learns one layer, not 2",
        ),
        (
            "[train]\nsolver = \"descent\"\nupdate_filters = \"online\"\nrounds = 5\n[[layer]]\nmaps = 2\nsparsity = { of_max = 0.01 }",
            "take 10 or more",
        ),
        (
            "[train]\nsolver = \"split\"\nupdate_filters = \"online\"\n[[layer]]\nmaps = 2",
            "goes with train.solver",
        ),
        (
            "[train]\nsolver = \"descent\"\nform = \"joint\"\n[[layer]]\nmaps = 2\n[[layer]]\nmaps = 2",
            "one layer at a time",
        ),
        (
            "[[layer]]\nmaps = 2\npool = [2, 2, 1]",
            "layer 1: pool is for train.form",
        ),
        ("[train]\nform = \"adaptive\"", "train.solver = \"ista\""),
        ("[train]\nsolver = \"ista\"", "train.form = \"adaptive\""),
        ("[train]\nrefine = true", "train.refine"),
        (
            "[train]\nform = \"adaptive\"\nsolver = \"ista\"\n[[layer]]\nmaps = 2\npool = [0, 2, 1]",
            "a pooling window of 0 rows",
        ),
        ("[train.ista]\nnorm = 0.0", "train.ista.norm"),
        ("[train]\nbatch = 0", "train.batch"),
        ("layer = []", "[[layer]]"),
    ] {
        let error = Config::parse(text).expect_err(text).to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}

#[test]
fn the_papers_connectivity_goes_from_9_to_45_to_150_maps() {
    let config = Config::parse(
        "[[layer]]\nmaps = 9\n[[layer]]\nconnect = \"singles-and-pairs\"\n\
         [[layer]]\nmaps = 150\nconnect = \"random-pairs\"",
    )
    .unwrap();
    let all = config.connectivities().unwrap();
    let pairs = all.iter().map(|g| (g.maps(), g.pairs()));
    assert_eq!(pairs.collect::<Vec<_>>(), [(9, 27), (45, 81), (150, 300)]);
}
