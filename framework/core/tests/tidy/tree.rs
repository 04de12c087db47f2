//! The text files of the workspace.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is read, by the end of its name, and `.ci/run`.
const EXTENSIONS: [&str; 4] = ["rs", "md", "toml", "sh"];

/// Directories are not followed deeper than this.
const DEPTH_MAX: usize = 16;

/// A file of the workspace.
pub struct TreeFile {
    /// Where it is, relative to the root, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// The workspace, without what git and cargo keep in it.
pub struct Tree {
    /// The root of the workspace.
    pub root: PathBuf,
    files: Vec<TreeFile>,
}

impl Tree {
    /// Reads the workspace that this crate is part of.
    pub fn read() -> io::Result<Self> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
        if !root.join("deny.toml").is_file() {
            let what =
                format!("{} is not trefoil's workspace; tidy looks at all of it", root.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, what));
        }
        let mut tree = Self { root: root.clone(), files: Vec::new() };
        tree.descend(&root, DEPTH_MAX)?;
        tree.files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(tree)
    }

    /// The files whose name ends in one of `extensions`.
    pub fn with_extension(&self, extensions: &[&str]) -> impl Iterator<Item = &TreeFile> {
        self.files.iter().filter(move |file| {
            let extension = Path::new(&file.path).extension().and_then(|e| e.to_str());
            extension.is_some_and(|e| extensions.contains(&e))
        })
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> io::Result<&TreeFile> {
        let missing = || io::Error::new(io::ErrorKind::NotFound, format!("{path} is missing"));
        self.files.iter().find(|file| file.path == path).ok_or_else(missing)
    }

    fn descend(&mut self, directory: &Path, depth_left: usize) -> io::Result<()> {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = entry.file_type()?;
            let hidden = name.starts_with('.') && name != ".ci";
            if kind.is_dir() && !hidden && name != "target" && depth_left > 0 {
                self.descend(&entry.path(), depth_left - 1)?;
            } else if kind.is_file() && is_read(&entry.path()) {
                self.add(&entry.path())?;
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            // Somebody's editor took it away between the listing and the reading.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        let relative = path.strip_prefix(&self.root).unwrap_or(path);
        let path = relative.to_string_lossy().replace('\\', "/");
        self.files.push(TreeFile { path, text });
        Ok(())
    }
}

fn is_read(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str());
    extension.is_some_and(|e| EXTENSIONS.contains(&e)) || path.ends_with(".ci/run")
}
