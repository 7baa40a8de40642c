//! A model made ready for images of one size: operators in order, each with its known numbers on the
//! device.
//!
//! All that a file computes from shapes is worked out here, for one image; the axis of the images is the
//! first everywhere, so that any number of them goes through together, whatever batch an exporter froze.

use burn::tensor::{DType, Device};

use super::model::Model;
use super::names;
use super::operator::{Lowered, Operand, Operator, Site, Switches};
use super::value::Map;
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
    /// Where rows and columns are among the axes of each value.
    axes: Vec<[usize; 2]>,
    layers: Vec<Layer>,
    outputs: Vec<usize>,
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
            axes: vec![model.layout().map_or([2, 3], |layout| layout.axes())],
            layers: Vec::new(),
            outputs: Vec::new(),
            device: device.clone(),
            dtype,
        };
        let names = names::of(&model.nodes);
        for (node, name) in model.nodes.iter().zip(names) {
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
                device,
                dtype,
            };
            let flows = net.flows(super::operator::lower(&site)?);
            if flows
                .iter()
                .any(|flow| matches!(flow, Operand::Map(_, shape) if shape.contains(&0)))
            {
                return Err(site.error("nothing would be left of the image"));
            }
            let flows = node.output.iter().zip(flows);
            for (output, flow) in flows.filter(|(output, _)| !output.is_empty()) {
                if let Operand::Map(value, _) = flow {
                    net.layers.push(Layer {
                        name: name.clone(),
                        kind: node.op_type.clone(),
                        tensor: output.clone(),
                        node: node.name.clone(),
                        value,
                    });
                }
                known.insert(output.clone(), flow);
            }
        }
        for output in &model.outputs {
            match known.get(output) {
                Some(Operand::Map(value, _)) => net.outputs.push(*value),
                _ => {
                    return Err(Error::Input(format!(
                        "the output `{output}` does not depend on the image; export the model again"
                    )));
                }
            }
        }
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
        let axes = inputs.first().map_or([2, 3], |&input| self.axes[input]);
        self.axes.push(match &operator {
            Operator::Permute(permute) if shape.len() == 4 => permute.moved(axes),
            _ => axes,
        });
        self.shapes.push(shape);
        self.steps.push(Step {
            operator,
            inputs,
            output,
        });
        output
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

    /// Where rows and columns are among the axes of a value that has both: behind the channels, or before
    /// them in the image of a model that has channels last and in what is made of it until the axes change.
    pub fn spatial_axes(&self, value: usize) -> [usize; 2] {
        self.axes[value]
    }

    /// What can be looked at, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// The value of the first output, where the classes are.
    pub fn logits(&self) -> usize {
        self.outputs[0]
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Its type of numbers.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The operator that makes a value.
    pub fn maker(&self, value: usize) -> Option<&Step> {
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
