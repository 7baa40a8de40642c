//! A model made ready for images of one size: operators in order, each with its known numbers on the
//! device.
//!
//! All that a file computes from shapes is worked out here, for one image; the axis of the images is the
//! first everywhere, so that any number of them goes through together, whatever batch an exporter froze.

use std::collections::HashMap;

use burn::tensor::{DType, Device};

use super::model::Model;
use super::names;
use super::operator::{Lowered, Operand, Operator, Permute, Site, Switches};
use super::proto::NodeProto;
use super::value::Map;
use super::weights;
use crate::error::{Error, Result};

/// One operator in its place.
#[derive(Clone, Debug)]
pub struct Step {
    /// What is computed.
    pub operator: Operator,
    /// The values that flow in.
    pub inputs: Vec<usize>,
    /// The value that flows out.
    pub output: usize,
}

/// A value of the graph under the name that people know.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The path of its module, or else of its node.
    pub name: String,
    /// That of a layer that an exporter made one with it, and whose values these are.
    pub folded: Option<String>,
    /// The operator of the file, such as Conv.
    pub kind: String,
    /// The name of the tensor in the file.
    pub tensor: String,
    /// The name of the node in the file.
    pub node: String,
    /// The value.
    pub value: usize,
}

/// A trained convnet, ready for images of one size.
#[derive(Clone, Debug)]
pub struct Convnet {
    steps: Vec<Step>,
    /// For one image; value 0 is the image.
    shapes: Vec<Vec<usize>>,
    /// Where rows and columns are among the axes of each value, as far as that is known.
    axes: Vec<Option<[usize; 2]>>,
    /// Values that are others with their channels before rows and columns, for looking at.
    turned: HashMap<usize, usize>,
    layers: Vec<Layer>,
    logits: usize,
    /// The same with its channels first.
    top: usize,
    crc32: u32,
    device: Device,
    dtype: DType,
}

impl Convnet {
    /// Prepares a model for images of `shape`, with one image, on a device.
    ///
    /// # Errors
    /// [`Error::Input`] naming the node whose inputs or attributes do not fit.
    pub fn new(model: &Model, shape: &[usize], device: &Device, dtype: DType) -> Result<Self> {
        let mut known = model.known.clone();
        known.insert(model.input.clone(), Operand::Map(0, shape.to_vec()));
        let mut net = Self {
            steps: Vec::new(),
            shapes: vec![shape.to_vec()],
            axes: vec![model.layout().map(|layout| layout.axes())],
            turned: HashMap::new(),
            layers: Vec::new(),
            logits: 0,
            top: 0,
            crc32: model.crc32,
            device: device.clone(),
            dtype,
        };
        net.add(model, &model.nodes, &mut known)?;
        let mut outputs = model.outputs.iter().filter_map(|name| known.get(name));
        let logits = outputs.find_map(|output| match output {
            Operand::Map(value, _) => Some(*value),
            _ => None,
        });
        net.logits = logits.ok_or_else(|| {
            Error::Input(format!(
                "no output ({}) depends on the image; export the model again",
                model.outputs.join(", ")
            ))
        })?;
        net.top = net.channels_first(net.logits);
        let layers = net.layers.iter();
        let mut apart: Vec<_> = layers
            .map(|layer| (layer.name.clone(), layer.kind.clone()))
            .collect();
        names::tell_apart(&mut apart);
        for (layer, (name, _)) in net.layers.iter_mut().zip(apart) {
            layer.name = name;
        }
        Ok(net)
    }

    /// Adds nodes in order, and to what is known what flows out of them.
    fn add(
        &mut self,
        model: &Model,
        nodes: &[NodeProto],
        known: &mut HashMap<String, Operand>,
    ) -> Result<()> {
        let names = names::of(nodes);
        let device = self.device.clone();
        for (node, name) in nodes.iter().zip(names) {
            let flowing = node.input.iter().map(|input| match input.as_str() {
                "" => Ok(Operand::Absent),
                input => known.get(input).cloned().ok_or_else(|| {
                    Error::Input(format!(
                        "the node `{}` needs `{input}`, which nothing before it makes; export the model again",
                        node.label()
                    ))
                }),
            });
            let site = Site {
                node,
                opset: model.opset,
                inputs: flowing.collect::<Result<_>>()?,
                frozen_batch: model.input_shape.first().copied().flatten(),
                device: &device,
                dtype: self.dtype,
            };
            if node.op_type == "If" {
                self.add_branch(model, &site, known)?;
                continue;
            }
            let flows = self.flows(super::operator::lower(&site)?);
            if flows
                .iter()
                .any(|flow| matches!(flow, Operand::Map(_, shape) if shape.contains(&0)))
            {
                return Err(site.error("nothing would be left of the image"));
            }
            let flows = node.output.iter().zip(flows);
            for (output, flow) in flows.filter(|(output, _)| !output.is_empty()) {
                if let Operand::Map(value, _) = flow {
                    let value = self.channels_first(value);
                    self.layers.push(Layer {
                        name: name.name.clone(),
                        folded: name.folded.clone(),
                        kind: node.op_type.clone(),
                        tensor: output.clone(),
                        node: node.name.clone(),
                        value,
                    });
                }
                known.insert(output.clone(), flow);
            }
        }
        Ok(())
    }

    /// Adds what an If chooses by a number that is known before any image.
    fn add_branch(
        &mut self,
        model: &Model,
        site: &Site,
        known: &mut HashMap<String, Operand>,
    ) -> Result<()> {
        let holds = site.integers(0)?.values.first() != Some(&0);
        let name = if holds { "then_branch" } else { "else_branch" };
        let mut branches = site.node.attribute.iter().filter(|one| one.name == name);
        let branch = branches.find_map(|one| one.g.as_ref());
        let branch = branch.ok_or_else(|| site.error(format!("its {name} is missing")))?;
        for tensor in &branch.initializer {
            let numbers = weights::decode(tensor, model.path.parent());
            let operand = numbers.map_err(|why| site.error(why))?.into();
            known.insert(tensor.name.clone(), operand);
        }
        self.add(model, &branch.node, known)?;
        for (output, inner) in site.node.output.iter().zip(&branch.output) {
            let flow = known.get(&inner.name).cloned();
            let flow = flow.ok_or_else(|| site.error("it returns what nothing makes"))?;
            known.insert(output.clone(), flow);
        }
        Ok(())
    }

    /// What flows out of a node, for each output.
    fn flows(&mut self, lowered: Lowered) -> Vec<Operand> {
        match lowered {
            Lowered::Same(operand) => vec![operand],
            Lowered::Floats(array) => vec![Operand::Floats(array.into())],
            Lowered::Integers(integers) => vec![Operand::Integers(integers.into())],
            Lowered::Each(all) => all.into_iter().flat_map(|one| self.flows(one)).collect(),
            Lowered::Steps(mut inputs, steps) => {
                let mut flow = Operand::Absent;
                for (operator, shape) in steps {
                    let output = self.push(operator, inputs, shape.clone());
                    inputs = vec![output];
                    flow = Operand::Map(output, shape);
                }
                vec![flow]
            }
        }
    }

    fn push(&mut self, operator: Operator, inputs: Vec<usize>, shape: Vec<usize>) -> usize {
        let before = inputs.first().and_then(|&input| self.maker(input));
        let factor = match (&operator, before.map(|step| &step.operator)) {
            (Operator::Rectifier(rectifier), Some(Operator::Arithmetic(sum))) => {
                sum.added().and_then(|added| rectifier.hard_sigmoid(added))
            }
            _ => None,
        };
        let operator = factor.map_or(operator, Into::into);
        let output = self.shapes.len();
        let known = inputs.iter().find_map(|&input| {
            let axes = self.axes[input]?;
            operator.moved(axes, &self.shapes[input], &shape)
        });
        self.axes.push(operator.spatial_axes(&shape).or(known));
        self.shapes.push(shape);
        self.steps.push(Step {
            operator,
            inputs,
            output,
        });
        output
    }

    /// A value with its channels before rows and columns: itself, or that made of it.
    fn channels_first(&mut self, value: usize) -> usize {
        let shape = self.shapes[value].clone();
        let [rows, columns] = self.spatial_axes(value);
        let mut channels = (1..4).filter(|axis| ![rows, columns].contains(axis));
        let (Some(channels), None, 4) = (channels.next(), channels.next(), shape.len()) else {
            return value;
        };
        if [rows, columns] == [2, 3] {
            return value;
        }
        if let Some((&turned, _)) = self.turned.iter().find(|(_, of)| **of == value) {
            return turned;
        }
        let axes = [0, channels, rows, columns];
        let shape = axes.map(|axis| shape[axis]).to_vec();
        let turned = self.push(Permute::to(axes.to_vec()).into(), vec![value], shape);
        self.turned.insert(turned, value);
        turned
    }

    /// The operators, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// How many values there are; the image is value 0.
    pub fn values(&self) -> usize {
        self.shapes.len()
    }

    /// The shape of a value for one image.
    pub fn shape(&self, value: usize) -> &[usize] {
        &self.shapes[value]
    }

    /// Where rows and columns are among the axes of a value that has both: behind the channels, also of
    /// every layer, or before them in the image of a model that has channels last and in what is made of it
    /// until the axes change.
    pub fn spatial_axes(&self, value: usize) -> [usize; 2] {
        self.axes[value].unwrap_or([2, 3])
    }

    /// What can be looked at, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The value of the first output, where the classes are, as the file has it.
    pub fn logits(&self) -> usize {
        self.logits
    }

    /// The first output as a layer to look at, with its channels before rows and columns.
    pub fn top(&self) -> usize {
        self.top
    }

    /// The checksum of the model.
    pub fn crc32(&self) -> u32 {
        self.crc32
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Its type of numbers.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The operator that makes a value, or that of which it is another order of axes for looking at.
    pub fn maker(&self, value: usize) -> Option<&Step> {
        let value = self.turned.get(&value).copied().unwrap_or(value);
        self.steps.iter().find(|step| step.output == value)
    }

    /// Runs images through and keeps everything.
    ///
    /// # Shapes
    /// images `[n, ..]` as [`Self::shape`] of 0 has them.
    ///
    /// # Errors
    /// [`Error::Input`] if the images have another shape.
    pub fn record(&self, images: Map) -> Result<Tape> {
        self.check(&images)?;
        let mut tape = Tape {
            maps: vec![None; self.values()],
            switches: vec![None; self.steps.len()],
        };
        tape.maps[0] = Some(images);
        for (place, step) in self.steps.iter().enumerate() {
            let inputs: Vec<&Map> = step.inputs.iter().map(|&input| tape.map(input)).collect();
            let (map, switches) = step.operator.forward(&inputs);
            tape.maps[step.output] = Some(map);
            tape.switches[place] = switches;
        }
        Ok(tape)
    }

    /// Runs images through and shows `values` as they are made, each with its place among them; what nothing
    /// needs any more is dropped, and what comes behind all of them is not computed.
    ///
    /// # Errors
    /// [`Error::Input`] if the images have another shape, and what `look` returns.
    pub fn run(
        &self,
        images: Map,
        values: &[usize],
        mut look: impl FnMut(usize, &Map) -> Result<()>,
    ) -> Result<()> {
        self.check(&images)?;
        let mut show = |value: usize, map: &Map| {
            let mut wanted = values.iter().enumerate().filter(|(_, one)| **one == value);
            wanted.try_for_each(|(k, _)| look(k, map))
        };
        let end = values.iter().copied().max().unwrap_or(0);
        let last = self.last_uses();
        let mut maps: Vec<Option<Map>> = vec![None; self.values()];
        show(0, &images)?;
        maps[0] = Some(images);
        let steps = self.steps.iter().take_while(|step| step.output <= end);
        for (place, step) in steps.enumerate() {
            if last[step.output] == 0 && !values.contains(&step.output) {
                continue;
            }
            let inputs: Vec<&Map> = step
                .inputs
                .iter()
                .filter_map(|&k| maps[k].as_ref())
                .collect();
            let (map, _) = step.operator.forward(&inputs);
            show(step.output, &map)?;
            for &input in &step.inputs {
                if last[input] == place {
                    maps[input] = None;
                }
            }
            if last[step.output] > place {
                maps[step.output] = Some(map);
            }
        }
        Ok(())
    }

    /// For each value the last step that it flows into; 0 where nothing needs it.
    pub(super) fn last_uses(&self) -> Vec<usize> {
        let mut last = vec![0; self.values()];
        for (place, step) in self.steps.iter().enumerate() {
            step.inputs.iter().for_each(|&input| last[input] = place);
        }
        last
    }

    pub(super) fn check(&self, images: &Map) -> Result<()> {
        let [given, wanted] = [images.shape(), self.shape(0)];
        match given.len() == wanted.len() && given[1..] == wanted[1..] && given[0] > 0 {
            true => Ok(()),
            false => Err(Error::Input(format!(
                "images of the shape {given:?} do not fit a convnet made ready for {wanted:?}"
            ))),
        }
    }
}

/// Everything that came out of a run, for the way back.
#[derive(Clone, Debug)]
pub struct Tape {
    maps: Vec<Option<Map>>,
    switches: Vec<Option<Switches>>,
}

impl Tape {
    /// The activations of a value.
    pub fn map(&self, value: usize) -> &Map {
        self.maps[value]
            .as_ref()
            .expect("values are recorded in the order of the steps")
    }

    /// Where the maxima of a step lie, if it takes any.
    pub fn switches(&self, step: usize) -> Option<&Switches> {
        self.switches[step].as_ref()
    }
}
