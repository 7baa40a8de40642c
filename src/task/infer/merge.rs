//! The tables of shards made one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::report::Report;
use crate::error::{Error, Result};
use crate::report::Results;
use crate::task::shard::{Shard, Share};

/// Makes one table of those of all shards in the folder `out`, as a single call would have written it, and
/// returns it. A table that is there is replaced only with `overwrite`.
///
/// # Errors
/// [`Error::Input`] where there are no shards, some are not done, or they are not of the same images and
/// settings; [`Error::Exists`]; [`Error::Io`].
pub fn merge(out: &Path, overwrite: bool) -> Result<Report> {
    let shards = read(out)?;
    let folder = out.display();
    let Some((first, first_report)) = shards.first() else {
        return Err(Error::Input(format!(
            "{folder} has no tables of shards: code the images in shards first"
        )));
    };
    let of = first.shard.count();
    let other = shards.iter().find(|(share, report)| {
        let same = |share: &Share| (share.shard.count(), share.all, share.crc32);
        same(share) != same(first) || report.settings != first_report.settings
    });
    if let Some((other, _)) = other {
        return Err(Error::Input(format!(
            "shards {} and {} in {folder} are not of the same images, filters and settings: code them anew, \
             in a folder of their own",
            first.shard, other.shard
        )));
    }
    let done = |shard: &Shard| {
        let mut all = shards.iter();
        all.any(|(share, report)| share.shard == *shard && report.is_whole())
    };
    let undone: Vec<_> = Shard::all(of).filter(|shard| !done(shard)).collect();
    if let Some(next) = undone.first() {
        return Err(Error::Input(format!(
            "{} of {of} shards in {folder} are not done, the first of them {next}: run those first, and again \
             where they were interrupted",
            undone.len()
        )));
    }
    let report = one(shards);
    let no_others: [&Path; 0] = [];
    Results::claim(out, &no_others, overwrite)?.table(&report.table(), &report)?;
    Ok(report)
}

/// The shards that have a table in a folder, in order.
fn read(out: &Path) -> Result<Vec<(Share, Report)>> {
    let mut shards = Vec::new();
    let entries = fs::read_dir(out).map_err(Error::io("read", out))?;
    for entry in entries {
        let path = entry.map_err(Error::io("read", out))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(shard) = Shard::of_file("table", &name) else {
            continue;
        };
        let text = fs::read(&path).map_err(Error::io("read", &path))?;
        let report =
            serde_json::from_slice(&text).map(|report: Report| (report.share.clone(), report));
        match report {
            Ok((Some(share), report)) if share.shard == shard => shards.push((share, report)),
            _ => {
                return Err(Error::Input(format!(
                    "{} is not the table of a shard, or is damaged: run shard {shard} again",
                    path.display()
                )));
            }
        }
    }
    shards.sort_by_key(|(share, _)| share.shard);
    Ok(shards)
}

/// One report of those of all shards, in the order of the images.
fn one(shards: Vec<(Share, Report)>) -> Report {
    let mut places = BTreeMap::new();
    for (share, _) in &shards {
        let names = share.names.iter().cloned().enumerate();
        places.extend(names.map(|(k, name)| (name, share.shard.index(k))));
    }
    let mut reports = shards.into_iter().map(|(_, report)| report);
    let mut all = reports.next().expect("there is a first shard");
    for report in reports {
        all.images += report.images;
        all.finished.extend(report.finished);
        all.rows.extend(report.rows);
        all.failures.extend(report.failures);
    }
    all.rows.sort_by_key(|row| places.get(&row.image).copied());
    all.failures.sort_by(|a, b| a.image.cmp(&b.image));
    all.share = None;
    all
}
