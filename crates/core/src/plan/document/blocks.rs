//! A long list in blocks: filled on all cores while the blocks before are hashed and taken in order.
//!
//! Knows neither what a block holds nor how it is used.

use rayon::prelude::*;

/// Items of one block: what one core does at a time.
pub(super) const BLOCK: usize = 1_024;

/// Blocks that are filled at a time: enough for all cores, and little memory however long the list is.
pub(super) const AT_ONCE: usize = 8;

/// Fills blocks (used again and again) with the items of a list. `hash` and `take` see each block once, in order, and both
/// beside the filling of the next ones.
///
/// # Errors
/// The first of `take`; no block is taken after it.
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
