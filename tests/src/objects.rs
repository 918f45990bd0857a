//! What lies in a bucket or in a folder, as anybody sees it who lists it and knows nothing of pinhost.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _};

use crate::table::wait;

#[derive(Debug)]
pub struct Objects(Arc<dyn ObjectStore>);

impl Objects {
    pub(crate) fn of(store: impl ObjectStore) -> Self {
        Self(Arc::new(store))
    }

    /// # Panics
    /// If there is no such folder.
    pub fn in_folder(folder: &FilePath) -> Self {
        Self::of(LocalFileSystem::new_with_prefix(folder).expect("a folder"))
    }

    /// Those below a folder, by their keys; all, if it has no name.
    ///
    /// # Panics
    /// If they cannot be read.
    #[track_caller]
    pub fn below(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        wait(self.read(folder)).expect("objects that can be read")
    }

    /// # Panics
    /// If it cannot be put there.
    #[track_caller]
    pub fn put(&self, key: &str, bytes: impl Into<Vec<u8>>) {
        let key = Path::from(key);
        wait(self.0.put(&key, bytes.into().into())).expect("an object that can be put");
    }

    async fn read(&self, folder: &str) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let mut objects = BTreeMap::new();
        let mut folders = vec![Path::from(folder)];
        while let Some(folder) = folders.pop() {
            let listed = self.0.list_with_delimiter(Some(&folder)).await?;
            folders.extend(listed.common_prefixes);
            for object in listed.objects {
                let read = match self.0.get(&object.location).await {
                    Ok(read) => read,
                    // The server still did what somebody had asked for.
                    Err(Error::NotFound { .. }) => continue,
                    Err(error) => return Err(error),
                };
                objects.insert(object.location.to_string(), read.bytes().await?.to_vec());
            }
        }
        Ok(objects)
    }
}
