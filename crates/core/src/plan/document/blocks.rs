//! A long list in blocks: all cores fill them while earlier blocks are hashed and consumed in order.
//!
//! Does not know the content of a block or its use.

use rayon::prelude::*;

/// Items per block: the work of one core at a time.
pub(super) const BLOCK: usize = 1_024;

/// Blocks filled at a time: enough for all cores, and little memory for any length of list.
pub(super) const AT_ONCE: usize = 8;

/// Fills blocks (which are reused) with the items of a list. `hash` and `take` see each block once, in order, while the next ones
/// are filled.
///
/// # Errors
/// The first error of `take`; no block is taken after it.
pub(super) fn in_order<Item: Sync, Block: Default + Send + Sync, Fault>(
    items: &[Item],
    fill: impl Fn(&mut Block, &[Item]) + Sync,
    mut hash: impl FnMut(&Block) + Send,
    mut take: impl FnMut(&Block) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut ready: Vec<Block> = Vec::new();
    let mut next: Vec<Block> = Vec::new();
    for items in items.chunks(BLOCK * AT_ONCE).chain([&[][..]]) {
        next.resize_with(items.len().div_ceil(BLOCK), Block::default);
        rayon::in_place_scope(|scope| {
            scope.spawn(|_| {
                let blocks = next.par_iter_mut().zip(items.par_chunks(BLOCK));
                blocks.for_each(|(block, items)| fill(block, items));
            });
            scope.spawn(|_| ready.iter().for_each(&mut hash));
            ready.iter().try_for_each(&mut take)
        })?;
        std::mem::swap(&mut next, &mut ready);
    }
    Ok(())
}
