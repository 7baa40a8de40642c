//! Finding image files in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use glob::{MatchOptions, Pattern};

use crate::{Error, Result, arrays, files};

/// The file name extensions that are looked for, in any mix of upper and lower case.
pub const EXTENSIONS: [&str; 17] = [
    "png", "apng", "jpg", "jpeg", "jpe", "jfif", "bmp", "dib", "webp", "gif", "tif", "tiff", "pnm",
    "ppm", "pgm", "pbm", "pam",
];

/// Those of images in formats that are not read.
const UNREAD: [&str; 44] = [
    "3fr", "arw", "avif", "avifs", "cr2", "cr3", "crw", "dcm", "dcr", "dds", "djvu", "dng", "eps",
    "erf", "exr", "ff", "fits", "hdr", "heic", "heif", "ico", "j2k", "jp2", "jpf", "jpx", "jxl",
    "jxr", "kdc", "mrw", "nef", "nrw", "orf", "pcx", "pef", "psd", "qoi", "raf", "raw", "rw2",
    "srw", "svg", "tga", "x3f", "xcf",
];

/// How many names a remark shows.
const SHOWN: usize = 3;

/// What a search found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The images, sorted by path, so that their order is the same on every machine.
    pub images: Vec<PathBuf>,
    /// What was left out and why, a line each.
    pub remarks: Vec<String>,
}

/// The image files that `path` stands for: itself if it is one, else all those in the folder and
/// its subfolders.
///
/// What is left out:
///
/// - names that begin with a dot;
/// - pictures that this program wrote: the folders of runs, and the files that lists in other folders
///   of results name;
/// - what one of the patterns `exclude` matches, a folder with all that is in it. A pattern with a `/`
///   is for the path below `path`, any other for the name alone; `*` and `?` stand for parts of a
///   name, `**` for folders, `[a-z]` for one of some letters;
/// - what is no regular file. Links to files are followed; links to folders below `path` are not, so
///   that no ring of links can trap the search;
/// - subfolders that cannot be read.
///
/// All but the first is told in [`Scan::remarks`], beside the number of files in formats that are not
/// read.
///
/// # Errors
/// [`Error::Io`] if `path` cannot be read; [`Error::Input`] if there is no image; [`Error::Config`] for
/// a pattern that is none.
///
/// ```
/// use deconvnet::data::{scan::scan, scenes};
/// use deconvnet::picture::save_png;
///
/// let folder = tempfile::tempdir()?;
/// for name in ["a.png", "b.old.png"] {
///     save_png(&scenes::sample(0, 16, 1), folder.path().join(name))?;
/// }
/// let found = scan(folder.path(), &["*.old.*".into()])?;
/// assert_eq!(found.images, [folder.path().join("a.png")]);
/// assert!(found.remarks[0].contains("1 name"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn scan(path: &Path, exclude: &[String]) -> Result<Scan> {
    search(path, exclude)?.0.with_images(path)
}

/// What [`scan`] finds, perhaps no image, and beside it the files of arrays, by the same rules.
pub(super) fn search(path: &Path, exclude: &[String]) -> Result<(Scan, Vec<PathBuf>)> {
    files::refuse_special(path)?;
    let mut search = Search {
        root: path.to_path_buf(),
        exclude: patterns(exclude)?,
        ..Search::default()
    };
    if !path.is_dir() {
        search.images.push(path.to_path_buf());
        return match ends_in(path, &EXTENSIONS) {
            Some(_) => Ok((search.found(), Vec::new())),
            None => Err(Error::Input(format!(
                "{} is not an image file by its name: give a folder, or a file that ends in {}",
                path.display(),
                EXTENSIONS.join(", ")
            ))),
        };
    }
    search
        .folder(path, false)
        .map_err(Error::io("read", path))?;
    search.images.sort();
    search.arrays.sort();
    let arrays = std::mem::take(&mut search.arrays);
    Ok((search.found(), arrays))
}

impl Scan {
    /// Leaves out what lies in a folder below the folder `root` that is for something else.
    ///
    /// # Errors
    /// [`Error::Input`] where none is left.
    pub fn without(mut self, folder: Option<&Path>, what: &str, root: &Path) -> Result<Self> {
        let place = |path: &Path| fs::canonicalize(path).ok();
        let inside = folder.and_then(|folder| place(folder).zip(place(root)));
        let inside = inside.and_then(|(at, root)| Some(at.strip_prefix(root).ok()?.to_owned()));
        let Some(inside) = inside.filter(|inside| !inside.as_os_str().is_empty()) else {
            return Ok(self);
        };
        let (folder, all) = (root.join(inside), self.images.len());
        self.images.retain(|image| !image.starts_with(&folder));
        let (count, folder) = (all - self.images.len(), folder.display());
        if self.images.is_empty() {
            return Err(Error::Input(format!(
                "all images of {} lie in {folder}, which is for the {what}; give folders that lie beside each other",
                root.display()
            )));
        }
        if count > 0 {
            let remark = format!("left out: {count} in {folder}, which is for the {what}");
            self.remarks.push(remark);
        }
        Ok(self)
    }

    /// Itself if there is an image.
    ///
    /// # Errors
    /// [`Error::Input`] if there is none in the folder `root`.
    pub(super) fn with_images(self, root: &Path) -> Result<Self> {
        if !self.images.is_empty() {
            return Ok(self);
        }
        let mut why = self.remarks.join("; ");
        if !why.is_empty() {
            why.insert_str(0, "; ");
        }
        Err(Error::Input(format!(
            "no image in {}: looked in it and its subfolders for files that end in {}{why}",
            root.display(),
            EXTENSIONS.join(", ")
        )))
    }
}

/// Checks and reads patterns of names to leave out.
///
/// # Errors
/// [`Error::Config`] for a text that is none.
pub fn patterns(texts: &[String]) -> Result<Vec<Pattern>> {
    let read = |text: &String| {
        let plain = text.trim_start_matches("./").trim_end_matches('/');
        Pattern::new(plain).map_err(|error| {
            Error::Config(format!(
                "'{text}' is no pattern to exclude: {}, after {} characters",
                error.msg, error.pos
            ))
        })
    };
    texts.iter().map(read).collect()
}

/// The ending of a name, if it is one of some.
fn ends_in(path: &Path, endings: &'static [&'static str]) -> Option<&'static str> {
    let end = path.extension()?;
    let known = |known: &&&str| end.eq_ignore_ascii_case(known);
    endings.iter().find(known).copied()
}

/// A search in progress.
#[derive(Default)]
struct Search {
    root: PathBuf,
    exclude: Vec<Pattern>,
    images: Vec<PathBuf>,
    /// Files of arrays.
    arrays: Vec<PathBuf>,
    /// Pictures by this program that lists name, and those found, by folder.
    listed: BTreeSet<PathBuf>,
    /// Folders with such lists: the arrays in them are results too.
    results: BTreeSet<PathBuf>,
    own: BTreeMap<PathBuf, usize>,
    excluded: usize,
    /// Files by ending.
    unread: BTreeMap<&'static str, usize>,
    special: Vec<PathBuf>,
    linked: Vec<PathBuf>,
    unreadable: Vec<String>,
}

impl Search {
    /// Looks through a folder; `own` if it is in a run.
    fn folder(&mut self, folder: &Path, own: bool) -> io::Result<()> {
        let own = own || files::is_run(folder);
        let names = files::written(folder);
        if !names.is_empty() {
            self.results.insert(folder.to_path_buf());
        }
        let names = names.into_iter();
        self.listed.extend(names.map(|name| folder.join(name)));
        let entries: Vec<_> = fs::read_dir(folder)?.collect::<io::Result<_>>()?;
        for entry in entries {
            let path = entry.path();
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            if self.is_excluded(&path) {
                self.excluded += 1;
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if let Err(error) = self.folder(&path, own) {
                    self.unreadable
                        .push(format!("{} ({error})", path.display()));
                }
            } else {
                self.file(&entry, path, own);
            }
        }
        Ok(())
    }

    fn file(&mut self, entry: &DirEntry, path: PathBuf, own: bool) {
        // Of a link, what it leads to.
        let kind = fs::metadata(&path);
        let is_link = entry.file_type().is_ok_and(|kind| kind.is_symlink());
        if is_link && kind.as_ref().is_ok_and(fs::Metadata::is_dir) {
            self.linked.push(path);
        } else if let Some(ending) = ends_in(&path, &UNREAD) {
            *self.unread.entry(ending).or_default() += 1;
        } else if ends_in(&path, &EXTENSIONS).is_none() {
            // No picture by its name.
            let own = own || path.ancestors().any(|above| self.results.contains(above));
            if !own && arrays::is_bundle(&path) && kind.is_ok_and(|kind| kind.is_file()) {
                self.arrays.push(path);
            }
        } else if !kind.is_ok_and(|kind| kind.is_file()) {
            self.special.push(path);
        } else if own || self.listed.contains(&path) {
            let folder = path.parent().unwrap_or(&self.root).to_path_buf();
            *self.own.entry(folder).or_default() += 1;
        } else {
            self.images.push(path);
        }
    }

    fn is_excluded(&self, path: &Path) -> bool {
        let options = MatchOptions {
            require_literal_separator: true,
            ..MatchOptions::new()
        };
        let below = path.strip_prefix(&self.root).unwrap_or(path);
        let name = path.file_name().unwrap_or_default();
        self.exclude.iter().any(|pattern| {
            let text = match pattern.as_str().contains('/') {
                true => below.to_string_lossy(),
                false => name.to_string_lossy(),
            };
            pattern.matches_with(&text, options)
        })
    }

    fn found(self) -> Scan {
        Scan {
            remarks: self.remarks(),
            images: self.images,
        }
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = Vec::new();
        let mut left_out = |what: String| remarks.push(format!("left out: {what}"));
        if !self.own.is_empty() {
            let count = count(self.own.values().sum(), "picture");
            let folders = names(self.own.keys());
            left_out(format!("{count} that this program wrote, in {folders}"));
        }
        if self.excluded > 0 {
            let count = count(self.excluded, "name");
            left_out(format!("{count} by the patterns to exclude"));
        }
        if !self.unread.is_empty() {
            let each = self.unread.iter().map(|(end, n)| format!("{n} .{end}"));
            let each = each.collect::<Vec<_>>().join(", ");
            left_out(format!("files in formats that are not read: {each}"));
        }
        if !self.special.is_empty() {
            let (count, names) = (
                count(self.special.len(), "image name"),
                names(&self.special),
            );
            left_out(format!(
                "{count} of no regular file, or of a broken link: {names}"
            ));
        }
        if !self.linked.is_empty() {
            let count = count(self.linked.len(), "link");
            left_out(format!("{count} to folders: {}", names(&self.linked)));
        }
        for folder in &self.unreadable {
            remarks.push(format!(
                "warning: a folder cannot be read and is left out: {folder}"
            ));
        }
        remarks
    }
}

fn count(n: usize, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}

/// The first few of some paths.
fn names<'a>(paths: impl IntoIterator<Item = &'a PathBuf>) -> String {
    let paths: Vec<_> = paths.into_iter().collect();
    let shown = paths.iter().take(SHOWN);
    let shown = shown.map(|path| path.display().to_string());
    let shown = shown.collect::<Vec<_>>().join(", ");
    match paths.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{File, create_dir_all, write};

    use super::*;

    fn error(path: &Path) -> String {
        scan(path, &[]).unwrap_err().to_string()
    }

    /// Makes empty files, with the folders above them; spaces between their names.
    fn touch(root: &Path, names: &str) {
        for name in names.split(' ') {
            let path = root.join(name);
            create_dir_all(path.parent().unwrap()).unwrap();
            File::create(path).unwrap();
        }
    }

    /// The names found, and the remarks in one text.
    #[track_caller]
    fn found(root: &Path, exclude: &[&str]) -> (Vec<String>, String) {
        let exclude: Vec<String> = exclude.iter().map(|&text| text.to_owned()).collect();
        let Scan { images, remarks } = scan(root, &exclude).unwrap();
        let below = images.iter().map(|path| path.strip_prefix(root).unwrap());
        let names = below.map(|path| path.display().to_string());
        (names.collect(), remarks.join("\n"))
    }

    #[test]
    fn lists_recursively_in_order_of_path() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        touch(root, "c.PNG a.jpeg b/z.ppm b/.hidden/x.png .y.png");
        touch(root, "notes.txt folder.png/x");
        let (names, remarks) = found(root, &[]);
        assert_eq!(names, ["a.jpeg", "b/z.ppm", "c.PNG"]);
        assert_eq!(remarks, "");
        let one = root.join("c.PNG");
        assert_eq!(scan(&one, &[]).unwrap().images, [one]);
    }

    #[test]
    fn listing_says_what_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let message = error(&dir.path().join("nowhere"));
        says!(message, "cannot read", "nowhere");
        touch(dir.path(), "a.heic");
        let message = error(dir.path());
        says!(message, "no image in", "png, apng, jpg, jpeg", "1 .heic");
        let text = dir.path().join("notes.txt");
        write(&text, "no image").unwrap();
        assert!(error(&text).contains("is not an image file by its name"));
    }

    #[test]
    fn files_in_formats_that_are_not_read_are_counted_by_ending() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        touch(root, "a.JFIF a.tif b.gif x.avif sub/y.AVIF z.nef a.txt");
        let (names, remarks) = found(root, &[]);
        assert_eq!(names, ["a.JFIF", "a.tif", "b.gif"]);
        assert!(remarks.ends_with("not read: 2 .avif, 1 .nef"), "{remarks}");
        assert!(UNREAD.is_sorted() && !UNREAD.iter().any(|end| EXTENSIONS.contains(end)));
    }

    #[test]
    fn runs_and_listed_pictures_are_left_out_whatever_their_folders_are_called() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        touch(
            root,
            "a.png mine/b.png mine/c.png mine/sub/d.png any/deep/e.png",
        );
        touch(root, "checkpoints/f.png inferred/g.png");
        let manifest = root.join("any").join(files::RUN_MANIFEST);
        write(manifest, "{\"format\": \"deconvnet-run\"").unwrap();
        let written = files::Written::in_folder(&root.join("mine")).unwrap();
        for name in ["b.png", "sub/d.png"] {
            written.add(Path::new(name)).unwrap();
        }
        let (names, remarks) = found(root, &[]);
        let left = ["a.png", "checkpoints/f.png", "inferred/g.png", "mine/c.png"];
        assert_eq!(names, left);
        let expected = "left out: 3 pictures that this program wrote";
        assert!(remarks.starts_with(expected), "{remarks}");
        assert_eq!(remarks.lines().count(), 1);
        let message = error(&root.join("any"));
        says!(message, "1 picture that this program wrote");
    }

    #[test]
    fn a_folder_below_for_something_else_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        touch(root, "a.png masks/a.png masks/b.png maskss/c.png");
        let without = |folder: &str| {
            let folder = root.join(folder);
            let all = scan(root, &[]).unwrap();
            all.without(Some(&folder), "masks", root)
        };
        let left = without("masks").unwrap();
        assert_eq!(
            left.images,
            ["a.png", "maskss/c.png"].map(|name| root.join(name))
        );
        assert!(left.remarks[0].starts_with("left out: 2 in "), "{left:?}");
        // A file, and what is no folder below.
        assert_eq!(without("a.png").unwrap().images.len(), 3);
        for outside in [".", "..", "none"] {
            assert_eq!(without(outside).unwrap(), scan(root, &[]).unwrap());
        }
        let all = scan(&root.join("masks"), &[]).unwrap();
        let message = all.without(Some(&root.join("masks")), "masks", &root.join("masks"));
        assert_eq!(message.unwrap().images.len(), 2);
        std::fs::remove_file(root.join("a.png")).unwrap();
        std::fs::remove_file(root.join("maskss/c.png")).unwrap();
        says!(
            without("masks").unwrap_err().to_string(),
            "which is for the masks"
        );
    }

    #[test]
    fn patterns_leave_out_names_folders_and_paths() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        touch(root, "a.png a.thumb.png old/b.png new/old/c.png new/d.png");
        for (exclude, left) in [
            (
                &["*.thumb.*"][..],
                "a.png new/d.png new/old/c.png old/b.png",
            ),
            (&["old"], "a.png a.thumb.png new/d.png"),
            (&["old/"], "a.png a.thumb.png new/d.png"),
            (&["./new/old"], "a.png a.thumb.png new/d.png old/b.png"),
            (&["*/*.png", "a.t*"], "a.png new/old/c.png"),
            (&["**/[b-c].png"], "a.png a.thumb.png new/d.png"),
        ] {
            let (names, remarks) = found(root, exclude);
            assert_eq!(names.join(" "), left, "{exclude:?}");
            assert!(remarks.contains("by the patterns to exclude"), "{remarks}");
        }
        let wrong = scan(root, &["[a".into()]).unwrap_err();
        assert!(matches!(wrong, Error::Config(_)) && wrong.to_string().contains("'[a'"));
    }

    #[cfg(unix)]
    #[test]
    fn only_regular_files_are_taken_and_rings_of_links_do_not_trap() {
        use std::os::unix::{fs::symlink, net::UnixListener};
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        touch(root, "a.png sub/b.png");
        symlink(root, root.join("ring.png")).unwrap();
        symlink(root.join("self"), root.join("self.png")).unwrap();
        symlink(root.join("a.png"), root.join("link.png")).unwrap();
        symlink(root.join("gone"), root.join("sub/broken.jpg")).unwrap();
        let _socket = UnixListener::bind(root.join("socket.png")).unwrap();
        let (names, remarks) = found(root, &[]);
        assert_eq!(names, ["a.png", "link.png", "sub/b.png"]);
        says!(remarks, "3 image names of no regular file", "broken.jpg");
        says!(remarks, "1 link to folders");
        let message = error(&root.join("socket.png"));
        assert!(message.contains("give a regular file"), "{message}");
    }
}
