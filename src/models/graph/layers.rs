//! The graph on the device, and the dense rows that a model moves over it.

use crate::Result;
use crate::device::{Buffer, Commands, Device};
use crate::kernels::graph::spmm::{Accumulate, Operand, Spmm};
use crate::kernels::table::lookup::Lookup;
use crate::models::{Bipartite, Embeddings, Normalisation};
use crate::rows::Rows;
use crate::stream::UserItems;
use crate::table::RaggedTable;

/// The weighted graph, cut into what reaches the users (R) and what reaches the items (R transposed).
#[derive(Debug)]
pub(super) struct Graph {
    users: Edges,
    items: Edges,
}

/// The edges into one side.
#[derive(Debug)]
struct Edges {
    /// On the host: rows that are new since then are added at the end, without edges.
    row_offsets: Vec<u32>,
    columns: Buffer<u32>,
    values: Buffer<f32>,
}

impl Graph {
    /// The graph of `history` with `items` items. Linear in users, items and interactions.
    pub fn new(device: &Device, history: &UserItems, items: u32, normalisation: Normalisation) -> Result<Self> {
        let graph = Bipartite::new(history, items, normalisation)?;
        let (users, edges) = (graph.users(), history.len());
        let side = |row_offsets: &[u32], columns: Vec<u32>, values: &[f32]| -> Result<Edges> {
            Ok(Edges {
                row_offsets: row_offsets.iter().map(|offset| offset - row_offsets[0]).collect(),
                columns: Buffer::from_vec(device, columns)?,
                values: Buffer::from_slice(device, values)?,
            })
        };
        let (of_users, of_items) = graph.columns().split_at(edges);
        let (user_values, item_values) = graph.values().split_at(edges);
        Ok(Self {
            users: side(
                &graph.row_offsets()[..=users as usize],
                of_users.iter().map(|node| node - users).collect(),
                user_values,
            )?,
            items: side(&graph.row_offsets()[users as usize..], of_items.to_vec(), item_values)?,
        })
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> u64 {
        let bytes = |edges: &Edges| edges.columns.size_bytes() + edges.values.size_bytes();
        bytes(&self.users) + bytes(&self.items)
    }
}

/// The mean of the rows and of what each of a number of steps over the graph makes of them.
#[derive(Clone, Copy)]
pub(super) struct Mean<'a> {
    pub graph: &'a Graph,
    /// Steps over the graph.
    pub layers: u32,
}

/// Three dense copies of the rows: a running sum of layers, the last layer and the next.
#[derive(Debug)]
pub(super) struct Layers {
    pub users: Side,
    pub items: Side,
    /// Width of a propagated row.
    dims: u32,
    workspace: Buffer<u32>,
}

/// The dense rows of users or of items: `[rows, first + dims]`.
#[derive(Debug)]
pub(super) struct Side {
    /// Leading elements that are not propagated: an item's bias.
    first: u32,
    /// Width of a row, `first + dims`.
    pub width: u32,
    /// The mean over layers: of the rows, the outputs; of their gradients, those of the first layer.
    pub sum: Rows,
    /// The layer that is propagated next.
    pub layer: Rows,
    /// The layer that is written next; scratch between.
    pub next: Rows,
    /// `0..rows`.
    pub ids: Buffer<u32>,
    /// `0..=rows`.
    row_ends: Buffer<u32>,
    /// How often each row occurred, scaled: a diagonal.
    pub weights: Rows,
    edges: Buffer<u32>,
}

impl Side {
    fn new(device: &Device, table: &RaggedTable, edges: &Edges, first: u32, dims: u32) -> Result<Self> {
        let (rows, width) = (table.rows(), first + dims);
        let mut row_offsets = edges.row_offsets.clone();
        row_offsets.resize(rows as usize + 1, edges.row_offsets[edges.row_offsets.len() - 1]);
        Ok(Self {
            first,
            width,
            sum: Rows::dense(device, rows, width)?,
            layer: Rows::dense(device, rows, width)?,
            next: Rows::dense(device, rows, width)?,
            ids: Buffer::from_vec(device, (0..rows).collect())?,
            row_ends: Buffer::from_vec(device, (0..=rows).collect())?,
            weights: Rows::dense(device, rows, 1)?,
            edges: Buffer::from_vec(device, row_offsets)?,
        })
    }

    fn bytes(&self) -> u64 {
        let rows =
            [&self.sum, &self.layer, &self.next, &self.weights].map(|rows| rows.size_bytes().iter().sum::<u64>());
        let words = [&self.ids, &self.row_ends, &self.edges].map(Buffer::size_bytes);
        rows.iter().sum::<u64>() + words.iter().sum::<u64>()
    }

    /// Fills `sum` with the table's rows.
    fn record_rows(&mut self, commands: &mut Commands, table: &RaggedTable) -> Result<()> {
        let (rows, out) = (table.as_rows(), self.sum.dense_mut());
        commands.run(Lookup { rows, ids: &self.ids, dims: self.width, out })
    }

    /// Adds `weights_r` times the table's row to the propagated part of every row of `sum`.
    fn record_decay(
        &mut self,
        commands: &mut Commands,
        table: &RaggedTable,
        workspace: &mut Buffer<u32>,
    ) -> Result<()> {
        commands.run(Spmm {
            row_offsets: &self.row_ends,
            columns: &self.ids,
            values: self.weights.as_dense(),
            x: Operand::Ragged(table.as_rows()),
            x_first: self.first,
            dims: self.width - self.first,
            y: self.next.dense_mut(),
            y_first: self.first,
            accumulate: Some(Accumulate { total: self.sum.dense_mut(), scale: 1.0 }),
            workspace,
        })
    }
}

impl Layers {
    /// Room for the rows of both tables as they are now.
    pub fn new(graph: &Graph, tables: &Embeddings) -> Result<Self> {
        let device = tables.device();
        let first = u32::from(tables.item_bias());
        let (users, items) = tables.widths();
        // Whole vectors: a product of seven dims takes as long as one of eight.
        let dims = users.max(items - first).next_multiple_of(8);
        let edges = graph.users.columns.len();
        Ok(Self {
            users: Side::new(device, tables.users(), &graph.users, 0, dims)?,
            items: Side::new(device, tables.items(), &graph.items, first, dims)?,
            dims,
            workspace: match device {
                Device::Cpu => Buffer::zeroed(device, 0)?,
                Device::Gpu(_) => {
                    let diagonals = [tables.users().rows() as usize, tables.items().rows() as usize];
                    // The need does not grow with the non-zeros everywhere: chunks double.
                    let needs = diagonals.map(|nonzeros| Spmm::workspace_len(nonzeros, dims));
                    Buffer::zeroed(device, Spmm::workspace_len(edges, dims).max(needs[0]).max(needs[1]))?
                }
            },
        })
    }

    /// Width of a propagated row.
    pub fn dims(&self) -> u32 {
        self.dims
    }

    /// Bytes held on the device.
    pub fn bytes(&self) -> u64 {
        self.users.bytes() + self.items.bytes() + self.workspace.size_bytes()
    }

    /// Leaves the outputs in `sum`: the mean of `E^0..E^layers`, and the biases as they are.
    pub fn record_outputs(&mut self, commands: &mut Commands, mean: Mean<'_>, tables: &Embeddings) -> Result<()> {
        self.users.record_rows(commands, tables.users())?;
        self.items.record_rows(commands, tables.items())?;
        self.record_mean(commands, mean, Some(tables))
    }

    /// Turns the gradient of the outputs, in `layer`, into that of the first layer, in `sum`. The mean of powers of a
    /// symmetric matrix is symmetric, so this is the way forward once more.
    pub fn record_gradients(&mut self, commands: &mut Commands, mean: Mean<'_>) -> Result<()> {
        self.record_first_gradients(commands)?;
        self.record_mean(commands, mean, None)
    }

    /// Adds `weights_r * E^0_r` to the propagated part of every user's row of `sum`.
    pub fn record_user_decay(&mut self, commands: &mut Commands, tables: &Embeddings) -> Result<()> {
        self.users.record_decay(commands, tables.users(), &mut self.workspace)
    }

    /// The same for the items.
    pub fn record_item_decay(&mut self, commands: &mut Commands, tables: &Embeddings) -> Result<()> {
        self.items.record_decay(commands, tables.items(), &mut self.workspace)
    }

    /// Leaves in `sum` of the users their rows plus the weighted sum of their items'.
    pub fn record_history(&mut self, commands: &mut Commands, graph: &Graph, tables: &Embeddings) -> Result<()> {
        self.users.record_rows(commands, tables.users())?;
        let Self { users, items, dims, workspace } = self;
        commands.run(Spmm {
            row_offsets: &users.edges,
            columns: &graph.users.columns,
            values: &graph.users.values,
            x: Operand::Ragged(tables.items().as_rows()),
            x_first: items.first,
            dims: *dims,
            y: users.next.dense_mut(),
            y_first: 0,
            accumulate: Some(Accumulate { total: users.sum.dense_mut(), scale: 1.0 }),
            workspace,
        })
    }

    /// The way back of [`record_history`](Self::record_history): turns the gradients of its outputs, in `layer`, into
    /// those of the rows, in `sum`.
    pub fn record_history_gradients(&mut self, commands: &mut Commands, graph: &Graph) -> Result<()> {
        self.record_first_gradients(commands)?;
        let Self { users, items, dims, workspace } = self;
        commands.run(Spmm {
            row_offsets: &items.edges,
            columns: &graph.items.columns,
            values: &graph.items.values,
            x: Operand::Dense(users.layer.as_dense()),
            x_first: 0,
            dims: *dims,
            y: items.next.dense_mut(),
            y_first: items.first,
            accumulate: Some(Accumulate { total: items.sum.dense_mut(), scale: 1.0 }),
            workspace,
        })
    }

    /// Begins the way back: `sum` is what `layer` holds.
    fn record_first_gradients(&mut self, commands: &mut Commands) -> Result<()> {
        for side in [&mut self.users, &mut self.items] {
            let layer = side.layer.as_dense();
            commands.copy(layer, side.sum.dense_mut(), layer.len())?;
        }
        Ok(())
    }

    /// `sum` holds the first layer and gets the mean of all; the first product reads the ragged rows where there are
    /// any, else `layer`.
    fn record_mean(&mut self, commands: &mut Commands, mean: Mean<'_>, mut ragged: Option<&Embeddings>) -> Result<()> {
        let Self { users, items, dims, workspace } = self;
        let Mean { graph, layers } = mean;
        for layer in 1..=layers {
            let scale = if layer == layers { 1.0 / (layers + 1) as f32 } else { 1.0 };
            let mut product = |edges: &Edges, from: &Side, table: Option<&RaggedTable>, to: &mut Side| {
                commands.run(Spmm {
                    row_offsets: &to.edges,
                    columns: &edges.columns,
                    values: &edges.values,
                    x: match table {
                        Some(table) => Operand::Ragged(table.as_rows()),
                        None => Operand::Dense(from.layer.as_dense()),
                    },
                    x_first: from.first,
                    dims: *dims,
                    y: to.next.dense_mut(),
                    y_first: to.first,
                    accumulate: Some(Accumulate { total: to.sum.dense_mut(), scale }),
                    workspace,
                })
            };
            product(&graph.users, items, ragged.map(Embeddings::items), users)?;
            product(&graph.items, users, ragged.map(Embeddings::users), items)?;
            for side in [&mut *users, &mut *items] {
                std::mem::swap(&mut side.layer, &mut side.next);
            }
            ragged = None;
        }
        Ok(())
    }
}
