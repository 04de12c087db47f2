//! What of a library others can name: public items where they can be reached, and what is
//! implemented for them.

use crate::crates::{Crate, Target, leaves, name_of};
use crate::trim::{Qualify, bare, is_public};
use std::collections::{BTreeMap, BTreeSet};
use syn::visit_mut::VisitMut;
use syn::{Item, Type};

/// Modules are shown through each other at most so deep: a circle ends there.
const DEPTH_MAX: usize = 12;

/// All that others can name.
#[derive(Default)]
pub struct Surface {
    /// By the path that others write: what stands there.
    shown: BTreeMap<String, Vec<Item>>,
    /// Crates of others that are named, and by what.
    pub foreign: BTreeSet<(String, String)>,
}

impl Surface {
    /// The surface of a library.
    pub fn of(parsed: &Crate) -> Self {
        let mut surface = Self::default();
        let implemented = implementations(parsed);
        surface.module(parsed, &implemented, 0, &parsed.name, DEPTH_MAX);
        surface
    }

    /// All of it, for people and for comparison.
    pub fn text(&self, name: &str) -> String {
        let mut text = format!(
            "The public interface of {name}, without bodies, private fields and documentation.\n\
             Written by `make fix`, compared by `make verify`; not meant to be edited.\n"
        );
        for (path, items) in &self.shown {
            text.push_str(&format!("\n{path}\n"));
            for line in listed(items).lines() {
                text.push_str(&format!("    {line}\n"));
            }
        }
        text
    }

    fn module(
        &mut self,
        parsed: &Crate,
        implemented: &Implementations,
        index: usize,
        path: &str,
        left: usize,
    ) {
        if left == 0 {
            return;
        }
        for item in &parsed.modules[index].items {
            if !is_public(item) {
                continue;
            }
            if let Item::Use(used) = item {
                for (whole, name) in leaves(&used.tree) {
                    let target = parsed.resolve(index, &whole);
                    let path = match &name {
                        Some(name) => format!("{path}::{name}"),
                        None => path.to_owned(),
                    };
                    self.target(parsed, implemented, &target, &path, left);
                }
            } else if let Item::Mod(child) = item {
                let name = child.ident.to_string();
                let target = parsed.resolve(index, &["self".to_owned(), name.clone()]);
                self.target(parsed, implemented, &target, &format!("{path}::{name}"), left);
            } else if let Some(name) = name_of(item) {
                let target = Target::Item(index, name.clone());
                self.target(parsed, implemented, &target, &format!("{path}::{name}"), left);
            }
        }
    }

    fn target(
        &mut self,
        parsed: &Crate,
        implemented: &Implementations,
        target: &Target,
        path: &str,
        left: usize,
    ) {
        match target {
            Target::Module(index) => self.module(parsed, implemented, *index, path, left - 1),
            Target::Foreign(whole) => {
                let krate = whole.first().cloned().unwrap_or_default();
                self.foreign.insert((krate, path.to_owned()));
                let (shown, named) = (path.to_owned(), whole.join("::"));
                let named: syn::Result<Item> = syn::parse_str(&format!("pub use {named};"));
                self.shown.entry(shown).or_default().extend(named);
            }
            Target::Item(index, name) => {
                let items = &parsed.modules[*index].items;
                let defined = items.iter().filter(|item| name_of(item).as_ref() == Some(name));
                let defined = defined.map(|item| (*index, item.clone()));
                let more = implemented.get(target).into_iter().flatten().cloned();
                let mut shown = Vec::new();
                for (from, mut item) in defined.chain(more) {
                    if !bare(&mut item) {
                        continue;
                    }
                    let mut qualify = Qualify::new(parsed, from);
                    qualify.visit_item_mut(&mut item);
                    let named = qualify.foreign.into_iter();
                    self.foreign.extend(named.map(|krate| (krate, path.to_owned())));
                    shown.push(item);
                }
                self.shown.insert(path.to_owned(), shown);
            }
        }
    }
}

/// The definition first, then what is implemented, in the order of the alphabet.
fn listed(items: &[Item]) -> String {
    let print = |item: &Item| {
        let (shebang, attrs, items) = (None, Vec::new(), vec![item.clone()]);
        prettyplease::unparse(&syn::File { shebang, attrs, items })
    };
    let (implemented, defined): (Vec<&Item>, Vec<&Item>) =
        items.iter().partition(|item| matches!(item, Item::Impl(_)));
    let mut implemented: Vec<String> = implemented.into_iter().map(print).collect();
    implemented.sort();
    defined.into_iter().map(print).chain(implemented).collect()
}

/// What is implemented for a type, and the module where that stands.
type Implementations = BTreeMap<Target, Vec<(usize, Item)>>;

fn implementations(parsed: &Crate) -> Implementations {
    let mut found = Implementations::new();
    for (index, module) in parsed.modules.iter().enumerate() {
        for item in &module.items {
            let Item::Impl(block) = item else { continue };
            let Type::Path(named) = &*block.self_ty else { continue };
            let target = parsed.resolve(index, &words(&named.path));
            let of_private = block.trait_.as_ref().is_some_and(|(_, path, _)| {
                match parsed.resolve(index, &words(path)) {
                    Target::Item(module, name) => {
                        let items = &parsed.modules[module].items;
                        let is_it = |item: &&Item| name_of(item).as_ref() == Some(&name);
                        !items.iter().find(is_it).is_some_and(is_public)
                    }
                    _ => false,
                }
            });
            if !of_private {
                found.entry(target).or_default().push((index, item.clone()));
            }
        }
    }
    found
}

fn words(path: &syn::Path) -> Vec<String> {
    path.segments.iter().map(|segment| segment.ident.to_string()).collect()
}
