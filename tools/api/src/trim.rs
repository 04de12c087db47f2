//! Items without what others do not see of them, and with the whole names of what is not ours.

use crate::crates::{Crate, Target};
use std::collections::BTreeSet;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Block, Expr, Fields, ImplItem, Item, Path, TraitItem, Type, Visibility};

/// Attributes that others notice.
const KEPT: [&str; 5] = ["async_trait", "cfg", "derive", "must_use", "non_exhaustive"];

/// The language's own libraries.
const LANGUAGE: [&str; 3] = ["alloc", "core", "std"];

/// Whether others may name it.
pub fn is_public(item: &Item) -> bool {
    let visible = match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Union(item) => &item.vis,
        Item::Use(item) => &item.vis,
        Item::Macro(item) => return item.attrs.iter().any(|a| a.path().is_ident("macro_export")),
        _ => return false,
    };
    matches!(visible, Visibility::Public(_))
}

/// Takes out what others do not see; whether something is left to be shown.
pub fn bare(item: &mut Item) -> bool {
    Bare.visit_item_mut(item);
    match item {
        Item::Struct(item) => fields(&mut item.fields),
        Item::Impl(block) => {
            let of_trait = block.trait_.is_some();
            block.items.retain(|item| match item {
                ImplItem::Fn(item) => !of_trait && public(&item.vis),
                ImplItem::Const(item) => !of_trait && public(&item.vis),
                ImplItem::Type(_) => true,
                _ => false,
            });
            return of_trait || !block.items.is_empty();
        }
        Item::Const(item) => item.expr = unsaid(),
        Item::Static(item) => item.expr = unsaid(),
        _ => {}
    }
    true
}

fn public(visible: &Visibility) -> bool {
    matches!(visible, Visibility::Public(_))
}

fn unsaid() -> Box<Expr> {
    Box::new(Expr::Infer(syn::ExprInfer { attrs: Vec::new(), underscore_token: <_>::default() }))
}

/// Private fields: gone where they have names, and `_` where they have places.
fn fields(all: &mut Fields) {
    match all {
        Fields::Named(named) => {
            let kept = std::mem::take(&mut named.named).into_iter();
            named.named = kept.filter(|field| public(&field.vis)).collect::<Punctuated<_, _>>();
        }
        Fields::Unnamed(unnamed) => {
            for field in unnamed.unnamed.iter_mut().filter(|field| !public(&field.vis)) {
                let underscore_token = <_>::default();
                field.ty = Type::Infer(syn::TypeInfer { underscore_token });
            }
        }
        Fields::Unit => {}
    }
}

/// Takes out bodies, and attributes that nobody notices.
struct Bare;

impl VisitMut for Bare {
    fn visit_attributes_mut(&mut self, attributes: &mut Vec<Attribute>) {
        attributes.retain(|attribute| KEPT.iter().any(|kept| attribute.path().is_ident(kept)));
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        block.stmts.clear();
    }

    fn visit_impl_item_mut(&mut self, item: &mut ImplItem) {
        if let ImplItem::Const(constant) = item {
            constant.expr = *unsaid();
        }
        visit_mut::visit_impl_item_mut(self, item);
    }

    fn visit_trait_item_mut(&mut self, item: &mut TraitItem) {
        if let TraitItem::Const(constant) = item
            && let Some((_, value)) = &mut constant.default
        {
            *value = *unsaid();
        }
        visit_mut::visit_trait_item_mut(self, item);
    }
}

/// Gives what is not ours its whole name, and notes whose it is.
pub struct Qualify<'a> {
    parsed: &'a Crate,
    module: usize,
    /// The crates of others that were named.
    pub foreign: BTreeSet<String>,
}

impl<'a> Qualify<'a> {
    /// For items that stand in that module.
    pub fn new(parsed: &'a Crate, module: usize) -> Self {
        Self { parsed, module, foreign: BTreeSet::new() }
    }

    /// The whole name of what a path begins with, if that is of another library.
    fn whole(&self, path: &Path) -> Option<Vec<String>> {
        let first = path.segments.first()?.ident.to_string();
        let Target::Foreign(whole) = self.parsed.resolve(self.module, std::slice::from_ref(&first))
        else {
            return None;
        };
        // What nobody imported is of the language, or begins with the library's own name.
        let imported = whole != [first];
        let names_library = imported || path.segments.len() > 1;
        let krate = whole.first()?;
        let known = krate.starts_with(|c: char| c.is_ascii_lowercase());
        (names_library && known && !LANGUAGE.contains(&krate.as_str())).then_some(whole)
    }
}

impl VisitMut for Qualify<'_> {
    fn visit_path_mut(&mut self, path: &mut Path) {
        if let Some(whole) = self.whole(path)
            && let Some(span) = path.segments.first().map(|first| first.ident.span())
        {
            self.foreign.extend(whole.first().cloned());
            let name = |name: &String| syn::PathSegment::from(syn::Ident::new(name, span));
            let mut segments: Punctuated<_, _> = whole.iter().map(name).collect();
            let mut old = std::mem::take(&mut path.segments).into_iter();
            if let (Some(first), Some(last)) = (old.next(), segments.last_mut()) {
                last.arguments = first.arguments;
            }
            segments.extend(old);
            path.segments = segments;
        }
        visit_mut::visit_path_mut(self, path);
    }

    fn visit_attribute_mut(&mut self, _: &mut Attribute) {}
}
