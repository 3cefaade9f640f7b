//! Reads Rust sources: which paths a file says, in full, and what it passes on.
//!
//! Owns the resolution of names: `crate`, `self` and `super` chains, `use` trees (grouped,
//! renamed), names that a `use` brought in, and paths inside macros and attributes, which are
//! only tokens to the parser. Judges nothing.
//!
//! Invariant: what stands in an item marked `#[cfg(test)]` is not read, all else is.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

/// A path as segments; one into this crate begins with `crate`.
pub(crate) type Segments = Vec<String>;

/// The files of a crate by name, such as `src/limit/mod.rs`.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: BTreeMap<String, String>,
}

impl Sources {
    pub(crate) fn add(&mut self, name: &str, text: &str) {
        self.files.insert(name.to_owned(), text.to_owned());
    }

    /// Reads every file but those that only a test item declares.
    pub(crate) fn read(&self) -> Vec<SourceFile> {
        let files: Vec<SourceFile> =
            self.files.iter().map(|(name, text)| SourceFile::read(name, text)).collect();
        let tests: BTreeSet<Segments> =
            files.iter().flat_map(|file| file.test_modules.clone()).collect();
        let is_test = |module: &Segments| tests.iter().any(|test| module.starts_with(test));
        files.into_iter().filter(|file| !is_test(&file.module)).collect()
    }
}

/// What one file says.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) name: String,
    /// Its module path, beginning with `crate`.
    pub(crate) module: Segments,
    /// Lines without the test items.
    pub(crate) lines: usize,
    /// Every path it says, resolved, with its line. Method calls are paths of one segment, and
    /// `.await` is a path of that name.
    pub(crate) said: Vec<(usize, Segments)>,
    /// Names that it passes on: the full path under which they can be had, and what they are.
    pub(crate) passed_on: Vec<(Segments, Segments)>,
    /// What no resolution can see through, in words.
    pub(crate) opaque: Vec<(usize, &'static str)>,
    test_modules: Vec<Segments>,
    aliases: BTreeMap<String, Segments>,
    inline: Segments,
}

impl SourceFile {
    fn read(name: &str, text: &str) -> Self {
        let parsed = syn::parse_file(text).expect(name);
        let module = module_of(name);
        let mut file = Self {
            name: name.to_owned(),
            module: module.clone(),
            lines: text.lines().count(),
            said: Vec::new(),
            passed_on: Vec::new(),
            opaque: Vec::new(),
            test_modules: Vec::new(),
            aliases: BTreeMap::new(),
            inline: module,
        };
        file.visit_file(&parsed);
        file.see_through_aliases();
        file
    }

    /// Replaces first segments that a `use` brought in by what they stand for.
    ///
    /// Runs after the visit, since a `use` may stand below the path that needs it.
    fn see_through_aliases(&mut self) {
        let said = self.said.iter_mut().map(|(_, path)| path);
        let passed_on = self.passed_on.iter_mut().map(|(_, path)| path);
        for path in said.chain(passed_on) {
            // An alias may be made of another one; the bound is for names that stand for themselves.
            for _ in 0..8 {
                let Some(target) = path.first().and_then(|first| self.aliases.get(first)) else {
                    break;
                };
                *path = target.iter().chain(path.iter().skip(1)).cloned().collect();
            }
        }
    }

    fn say(&mut self, line: usize, written: &[String]) {
        let path = resolve(&self.inline, written);
        self.said.push((line, path));
    }

    fn use_tree(&mut self, prefix: &[String], tree: &syn::UseTree, public: bool) {
        let line = tree.span().start().line;
        match tree {
            syn::UseTree::Path(path) => {
                let prefix = with(prefix, &path.ident);
                self.use_tree(&prefix, &path.tree, public);
            }
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.use_tree(prefix, tree, public);
                }
            }
            syn::UseTree::Name(name) if name.ident == "self" => {
                let alias = prefix.last().cloned().unwrap_or_default();
                self.bring_in(line, prefix, &alias, public);
            }
            syn::UseTree::Name(name) => {
                self.bring_in(line, &with(prefix, &name.ident), &name.ident.to_string(), public);
            }
            syn::UseTree::Rename(rename) => {
                let path = match rename.ident == "self" {
                    true => prefix.to_vec(),
                    false => with(prefix, &rename.ident),
                };
                self.bring_in(line, &path, &rename.rename.to_string(), public);
            }
            _ => {
                self.opaque.push((line, "imports by a glob"));
                self.say(line, prefix);
            }
        }
    }

    fn bring_in(&mut self, line: usize, written: &[String], alias: &str, public: bool) {
        let path = resolve(&self.inline, written);
        if public {
            let mut name = self.inline.clone();
            name.push(alias.to_owned());
            self.passed_on.push((name, path.clone()));
        }
        self.aliases.insert(alias.to_owned(), path.clone());
        self.said.push((line, path));
    }

    /// Finds the paths in tokens that the parser leaves unread.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Segments = Vec::new();
        let mut colons = 0;
        let mut trees = tokens.into_iter().peekable();
        while let Some(tree) = trees.next() {
            let goes_on = colons == 2;
            colons = if is_colon(&tree) { colons + 1 } else { 0 };
            match tree {
                TokenTree::Ident(ident) => {
                    if !goes_on {
                        path.clear();
                    }
                    path.push(ident.to_string());
                    let line = ident.span().start().line;
                    if ident == "await" {
                        self.said.push((line, vec![".await".to_owned()]));
                    } else if !trees.peek().is_some_and(opens_colons) {
                        self.say(line, &path);
                    }
                }
                TokenTree::Group(group) if goes_on => self.grouped_tokens(&path, group.stream()),
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
        }
    }

    /// Finds `crate::{a, b::c}` in tokens: what follows each comma goes on from `prefix`.
    fn grouped_tokens(&mut self, prefix: &[String], tokens: TokenStream) {
        let mut starts = true;
        for tree in tokens.clone() {
            match &tree {
                TokenTree::Ident(ident) if starts => {
                    self.say(ident.span().start().line, &with(prefix, ident));
                    starts = false;
                }
                TokenTree::Punct(punct) if punct.as_char() == ',' => starts = true,
                _ => {}
            }
        }
        self.tokens(tokens);
    }

    fn leave_out(&mut self, item: &impl Spanned) {
        let span = item.span();
        self.lines -= (span.end().line + 1 - span.start().line).min(self.lines);
    }
}

impl<'ast> Visit<'ast> for SourceFile {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        match item {
            syn::Item::Mod(module) if is_test(&module.attrs) => {
                self.test_modules.push(with(&self.inline, &module.ident));
                self.leave_out(item);
            }
            syn::Item::Fn(syn::ItemFn { attrs, .. })
            | syn::Item::Impl(syn::ItemImpl { attrs, .. })
            | syn::Item::Use(syn::ItemUse { attrs, .. })
            | syn::Item::Const(syn::ItemConst { attrs, .. })
            | syn::Item::Struct(syn::ItemStruct { attrs, .. })
                if is_test(attrs) =>
            {
                self.leave_out(item);
            }
            _ => visit::visit_item(self, item),
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        match is_test(&item.attrs) {
            true => self.leave_out(item),
            false => visit::visit_impl_item_fn(self, item),
        }
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if item.attrs.iter().any(|attribute| attribute.path().is_ident("path")) {
            self.opaque.push((item.span().start().line, "gives a module a path of its own"));
        }
        self.inline.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.inline.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let public = !matches!(item.vis, syn::Visibility::Inherited);
        self.use_tree(&[], &item.tree, public);
    }

    fn visit_item_extern_crate(&mut self, item: &'ast syn::ItemExternCrate) {
        self.opaque.push((item.span().start().line, "says `extern crate`"));
    }

    /// `pub(crate)` is no import.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let written: Segments = path.segments.iter().map(|s| s.ident.to_string()).collect();
        self.say(path.span().start().line, &written);
        visit::visit_path(self, path);
    }

    fn visit_expr_await(&mut self, expr: &'ast syn::ExprAwait) {
        self.said.push((expr.await_token.span().start().line, vec![".await".to_owned()]));
        visit::visit_expr_await(self, expr);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let line = call.method.span().start().line;
        self.said.push((line, vec![call.method.to_string()]));
        visit::visit_expr_method_call(self, call);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.visit_path(&call.path);
        self.tokens(call.tokens.clone());
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.visit_path(&list.path);
        self.tokens(list.tokens.clone());
    }
}

/// Returns the module path of a file: `src/limit/meter.rs` is `crate::limit::meter`.
///
/// `src/main.rs` is a crate of its own; here it is a module like the others.
fn module_of(name: &str) -> Segments {
    let inner = name.strip_prefix("src/").unwrap_or(name);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let inner = inner.strip_suffix("/mod").unwrap_or(inner);
    let parts = inner.split('/').filter(|part| *part != "lib").map(str::to_owned);
    std::iter::once("crate".to_owned()).chain(parts).collect()
}

/// Returns the full path of what is `written` in `module`, as far as its first segments tell.
fn resolve(module: &[String], written: &[String]) -> Segments {
    let mut base = module.to_vec();
    let mut rest = written.iter();
    match written.first().map(String::as_str) {
        Some("crate" | "sluicegate") => {
            base.truncate(1);
            rest.next();
        }
        Some("super") => {}
        Some("self") if written.len() > 1 => {}
        // In lib.rs, a module is named without a prefix.
        Some(_) if module.len() == 1 => {}
        _ => return written.to_vec(),
    }
    let steps = |segment: &&String| *segment == "self" || *segment == "super";
    for step in rest.clone().take_while(steps) {
        if step == "super" {
            base.pop();
        }
    }
    base.into_iter().chain(rest.skip_while(steps).cloned()).collect()
}

fn with(prefix: &[String], last: &syn::Ident) -> Segments {
    prefix.iter().cloned().chain([last.to_string()]).collect()
}

fn is_colon(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ':')
}

/// Tells whether a tree is the first half of `::`.
fn opens_colons(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint)
}

/// Tells whether an item is there for tests only: `#[cfg(test)]`, word for word.
fn is_test(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|word| word == "test")
    })
}
