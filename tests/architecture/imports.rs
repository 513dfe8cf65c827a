//! Reads which file of a crate imports which: parses every file and resolves each path to the file that defines the item.
//!
//! A path that a `pub use` re-exports leads to the file behind it. Paths inside macros and attributes count as well; a
//! call of a method does not, since its type is not known here. Names that a macro makes belong to the file that calls
//! the macro.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, File, Item, ItemMod, ItemUse, Macro, Meta, UseTree, Visibility,
    ext::IdentExt,
    visit::{self, Visit},
};

/// Texts by their paths, such as `src/lib.rs`.
pub type Sources = BTreeMap<String, String>;
/// The importing and the imported file.
pub type Edges = BTreeSet<(String, String)>;

/// The crate's name, then the modules.
type ModulePath = Vec<String>;

#[derive(Default)]
struct Module {
    file: String,
    children: HashSet<String>,
    items: HashSet<String>,
    /// What `use` brings in, by its name here.
    imported: HashMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
}

/// Crates with their modules, and the paths that their files name.
#[derive(Default)]
pub struct Imports {
    modules: HashMap<ModulePath, Module>,
    /// In which module, and the segments.
    paths: Vec<(ModulePath, Vec<String>)>,
    files: BTreeSet<String>,
}

/// What is being looked up: a glob that leads back to itself ends there.
type Asked = HashSet<(ModulePath, String)>;

enum Found {
    Module(ModulePath),
    /// In this file.
    Item(String),
}

impl Imports {
    /// Reads a crate from its root file on; modules that no `mod` declares are not part of it.
    pub fn read(&mut self, name: &str, root: &str, sources: &Sources) {
        self.file(vec![name.to_owned()], root, sources);
    }

    pub fn files(&self) -> &BTreeSet<String> {
        &self.files
    }

    pub fn edges(&self) -> Edges {
        let mut edges = Edges::new();
        for (module, path) in &self.paths {
            let from = &self.modules[module].file;
            let to = match self.resolve(module, path, &mut Asked::new()) {
                Some(Found::Module(path)) => &self.modules[&path].file,
                Some(Found::Item(ref file)) => &file.clone(),
                None => continue,
            };
            if from != to {
                edges.insert((from.clone(), to.clone()));
            }
        }
        edges
    }

    fn file(&mut self, path: ModulePath, file: &str, sources: &Sources) {
        let text = &sources[file];
        let parsed: File = syn::parse_file(text).unwrap_or_else(|error| panic!("{file}: {error}"));
        self.files.insert(file.to_owned());
        let (directory, name) = file.rsplit_once('/').unwrap();
        let stem = name.strip_suffix(".rs").unwrap();
        let is_root = path.len() == 1 || stem == "mod";
        let directory = if is_root { directory.to_owned() } else { format!("{directory}/{stem}") };
        let mut reader = Reader { imports: self, file, module: path, declared: Vec::new() };
        reader.enter();
        reader.visit_file(&parsed);
        for child in reader.declared {
            let name = child.last().unwrap();
            let candidates = [format!("{directory}/{name}.rs"), format!("{directory}/{name}/mod.rs")];
            let found = candidates.iter().find(|candidate| sources.contains_key(*candidate));
            let found = found.unwrap_or_else(|| panic!("{file} declares {name}, which has no file"));
            self.file(child.clone(), found, sources);
        }
    }

    /// What a path means in a module; none for what is of no crate of ours.
    fn resolve(&self, module: &ModulePath, path: &[String], asked: &mut Asked) -> Option<Found> {
        let mut here = module.clone();
        let mut rest = path;
        let mut is_relative = true;
        while let [first, others @ ..] = rest {
            match first.as_str() {
                "crate" => here.truncate(1),
                "self" => {}
                "super" => {
                    here.pop();
                }
                _ => break,
            }
            is_relative = false;
            rest = others;
        }
        if is_relative
            && self.lookup(&here, path.first()?, asked).is_none()
            && self.modules.contains_key(&path[..1])
        {
            here = vec![path[0].clone()];
            rest = &path[1..];
            is_relative = false;
        }
        for (position, segment) in rest.iter().enumerate() {
            match self.lookup(&here, segment, asked) {
                Some(Found::Module(path)) => here = path,
                Some(item) => return Some(item),
                // Of another crate, or of the language.
                None if is_relative && position == 0 => return None,
                None => break,
            }
        }
        Some(Found::Module(here))
    }

    fn lookup(&self, module: &ModulePath, name: &str, asked: &mut Asked) -> Option<Found> {
        if !asked.insert((module.clone(), name.to_owned())) {
            return None;
        }
        let found = self.lookup_once(module, name, asked);
        asked.remove(&(module.clone(), name.to_owned()));
        found
    }

    fn lookup_once(&self, module: &ModulePath, name: &str, asked: &mut Asked) -> Option<Found> {
        let content = self.modules.get(module)?;
        if content.children.contains(name) {
            let mut child = module.clone();
            child.push(name.to_owned());
            return Some(Found::Module(child));
        }
        if content.items.contains(name) {
            return Some(Found::Item(content.file.clone()));
        }
        if let Some(path) = content.imported.get(name) {
            // `use serde_json;` names itself.
            return if path.as_slice() == [name] { None } else { self.resolve(module, path, asked) };
        }
        content.globs.iter().find_map(|glob| match self.resolve(module, glob, asked)? {
            Found::Module(other) if other != *module => self.lookup(&other, name, asked),
            _ => None,
        })
    }
}

struct Reader<'a> {
    imports: &'a mut Imports,
    file: &'a str,
    module: ModulePath,
    /// Modules that have files of their own.
    declared: Vec<ModulePath>,
}

impl Reader<'_> {
    fn enter(&mut self) {
        let module = Module { file: self.file.to_owned(), ..Module::default() };
        self.imports.modules.insert(self.module.clone(), module);
    }

    fn here(&mut self) -> &mut Module {
        self.imports.modules.get_mut(&self.module).unwrap()
    }

    fn path(&mut self, segments: Vec<String>) {
        self.imports.paths.push((self.module.clone(), segments));
    }

    fn import(&mut self, tree: &UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.unraw().to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.import(&path.tree, &with(&path.ident)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before)),
            UseTree::Glob(_) => {
                self.here().globs.push(before.to_vec());
                self.path(before.to_vec());
            }
            UseTree::Name(name) if name.ident == "self" => self.imported(before.to_vec(), before.last()),
            UseTree::Name(name) => self.imported(with(&name.ident), Some(&name.ident.unraw().to_string())),
            UseTree::Rename(rename) => {
                let path = if rename.ident == "self" { before.to_vec() } else { with(&rename.ident) };
                self.imported(path, Some(&rename.rename.unraw().to_string()));
            }
        }
    }

    fn imported(&mut self, path: Vec<String>, name: Option<&String>) {
        if let Some(name) = name {
            self.here().imported.insert(name.clone(), path.clone());
        }
        self.path(path);
    }

    /// The paths of two segments and more: a single name is in scope by a `use`, which counts.
    fn tokens(&mut self, tokens: TokenStream) {
        let (mut path, mut colons) = (Vec::new(), 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end_of_path(&mut path);
                    }
                    path.push(ident.unraw().to_string());
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    continue;
                }
                TokenTree::Group(group) => {
                    self.end_of_path(&mut path);
                    self.tokens(group.stream());
                }
                _ => self.end_of_path(&mut path),
            }
            colons = 0;
        }
        self.end_of_path(&mut path);
    }

    fn end_of_path(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.path(path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        let name = match item {
            Item::Const(item) => Some(&item.ident),
            Item::Enum(item) => Some(&item.ident),
            Item::Fn(item) => Some(&item.sig.ident),
            Item::Macro(item) => item.ident.as_ref(),
            Item::Static(item) => Some(&item.ident),
            Item::Struct(item) => Some(&item.ident),
            Item::Trait(item) => Some(&item.ident),
            Item::Type(item) => Some(&item.ident),
            Item::Union(item) => Some(&item.ident),
            _ => None,
        };
        if let Some(name) = name {
            self.here().items.insert(name.unraw().to_string());
        }
        visit::visit_item(self, item);
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        let name = item.ident.unraw().to_string();
        self.here().children.insert(name.clone());
        self.module.push(name);
        if item.content.is_some() {
            self.enter();
            visit::visit_item_mod(self, item);
        } else {
            self.declared.push(self.module.clone());
        }
        self.module.pop();
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.import(&item.tree, &[]);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.path(path.segments.iter().map(|segment| segment.ident.unraw().to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast Macro) {
        self.visit_path(&item.path);
        self.tokens(item.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    /// `pub(super)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
