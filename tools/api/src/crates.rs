//! A library as a tree of parsed modules, in which names can be looked up.

use std::collections::BTreeMap;
use std::path::Path;
use syn::{Attribute, Item, UseTree};

/// Names lead to names at most so often: a circle ends there.
const STEPS_MAX: usize = 16;

/// What reads a file; `None` if it is not there.
type Read<'a> = &'a dyn Fn(&Path) -> Option<String>;

/// A library.
pub struct Crate {
    /// Its name.
    pub name: String,
    /// All modules; the first is the root.
    pub modules: Vec<Module>,
}

/// A module.
pub struct Module {
    parent: usize,
    children: BTreeMap<String, usize>,
    /// What is in it, tests left out.
    pub items: Vec<Item>,
    uses: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A module of this library.
    Module(usize),
    /// An item of that module.
    Item(usize, String),
    /// Something of another library, or of the language.
    Foreign(Vec<String>),
}

impl Crate {
    /// Parses the library whose `lib.rs` is in `src`.
    pub fn load(name: &str, src: &Path, read: Read<'_>) -> syn::Result<Self> {
        let mut loaded = Self { name: name.to_owned(), modules: Vec::new() };
        let text = read(&src.join("lib.rs")).unwrap_or_default();
        loaded.add(0, syn::parse_file(&text)?.items, src, read)?;
        Ok(loaded)
    }

    fn add(
        &mut self,
        parent: usize,
        items: Vec<Item>,
        dir: &Path,
        read: Read<'_>,
    ) -> syn::Result<usize> {
        let own = self.modules.len();
        let items: Vec<Item> = items.into_iter().filter(|item| !for_tests(item)).collect();
        let mut module = Module {
            parent,
            children: BTreeMap::new(),
            items: Vec::new(),
            uses: BTreeMap::new(),
            globs: Vec::new(),
        };
        for item in &items {
            let Item::Use(used) = item else { continue };
            for (path, name) in leaves(&used.tree) {
                match name {
                    Some(name) => drop(module.uses.insert(name, path)),
                    None => module.globs.push(path),
                }
            }
        }
        self.modules.push(module);
        for item in &items {
            let Item::Mod(child) = item else { continue };
            let name = child.ident.to_string();
            let below = dir.join(&name);
            let inside = match &child.content {
                Some((_, items)) => items.clone(),
                None => {
                    let file = read(&below.with_extension("rs"));
                    let file = file.or_else(|| read(&below.join("mod.rs")));
                    syn::parse_file(&file.unwrap_or_default())?.items
                }
            };
            let index = self.add(own, inside, &below, read)?;
            self.modules[own].children.insert(name, index);
        }
        self.modules[own].items = items;
        Ok(own)
    }

    /// What a path that stands in a module means.
    pub fn resolve(&self, module: usize, path: &[String]) -> Target {
        self.step(module, path, STEPS_MAX).unwrap_or_else(|| Target::Foreign(path.to_vec()))
    }

    fn step(&self, module: usize, path: &[String], left: usize) -> Option<Target> {
        let (first, rest) = path.split_first()?;
        if left == 0 {
            return None;
        }
        let at = &self.modules[module];
        let start = match first.as_str() {
            "crate" => Target::Module(0),
            "self" => Target::Module(module),
            "super" => Target::Module(at.parent),
            _ => self.member(module, first, left - 1)?,
        };
        rest.iter().try_fold(start, |found, name| match found {
            Target::Module(module) => {
                let found = self.member(module, name, left - 1);
                // What a macro makes has no definition to be seen, but is ours.
                let made = || self.calls_macros(module).then(|| Target::Item(module, name.clone()));
                found.or_else(made)
            }
            // A variant, a constant of a type: the item is what counts.
            Target::Item(..) => Some(found),
            Target::Foreign(mut path) => {
                path.push(name.clone());
                Some(Target::Foreign(path))
            }
        })
    }

    fn calls_macros(&self, module: usize) -> bool {
        self.modules[module].items.iter().any(|item| match item {
            Item::Macro(item) => item.ident.is_none(),
            _ => false,
        })
    }

    fn member(&self, module: usize, name: &str, left: usize) -> Option<Target> {
        let at = &self.modules[module];
        if let Some(child) = at.children.get(name) {
            return Some(Target::Module(*child));
        }
        if at.items.iter().any(|item| name_of(item).as_deref() == Some(name)) {
            return Some(Target::Item(module, name.to_owned()));
        }
        if let Some(path) = at.uses.get(name) {
            let itself = path.len() == 1 && path[0] == name;
            let found = if itself { None } else { self.step(module, path, left) };
            return found.or_else(|| Some(Target::Foreign(path.clone())));
        }
        at.globs.iter().find_map(|path| match self.step(module, path, left)? {
            Target::Module(index) if index != module => self.member(index, name, left - 1),
            _ => None,
        })
    }
}

/// The name of what an item defines.
pub fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(name.to_string())
}

/// The paths that a `use` names, and by what name each is known; `None`: all that is in it.
pub fn leaves(tree: &UseTree) -> Vec<(Vec<String>, Option<String>)> {
    let under = |first: String, tree: &UseTree| {
        let below = leaves(tree).into_iter();
        below.map(|(rest, name)| ([vec![first.clone()], rest].concat(), name)).collect()
    };
    match tree {
        UseTree::Path(path) => {
            let first = path.ident.to_string();
            let mut found: Vec<(Vec<String>, Option<String>)> = under(first, &path.tree);
            for (whole, name) in &mut found {
                // `use a::{self}` names `a`.
                if whole.last().is_some_and(|last| last == "self") && whole.len() > 1 {
                    whole.pop();
                    if name.as_deref() == Some("self") {
                        *name = whole.last().cloned();
                    }
                }
            }
            found
        }
        UseTree::Name(name) => vec![(vec![name.ident.to_string()], Some(name.ident.to_string()))],
        UseTree::Rename(name) => {
            vec![(vec![name.ident.to_string()], Some(name.rename.to_string()))]
        }
        UseTree::Glob(_) => vec![(Vec::new(), None)],
        UseTree::Group(group) => group.items.iter().flat_map(leaves).collect(),
    }
}

fn for_tests(item: &Item) -> bool {
    attributes(item).iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
